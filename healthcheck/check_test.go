package healthcheck

import (
	"testing"
	"unsafe"
)

// TestCheckIsSmall: one byte more, and each of ten thousand checks takes 576 bytes.
func TestCheckIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(check{}); size > 512 {
		t.Errorf("a check takes %d bytes", size)
	}
	if size := unsafe.Sizeof(dialog{}); size > 112 {
		t.Errorf("a dialog takes %d bytes", size)
	}
}
