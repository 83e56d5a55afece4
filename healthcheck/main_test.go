package healthcheck

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if mode := os.Getenv(serveEnv); mode != "" {
		serveForever(mode)
	}
	goleak.VerifyTestMain(m)
}
