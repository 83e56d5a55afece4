package healthcheck

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if addr := os.Getenv(listenEnv); addr != "" {
		acceptForever(addr)
	}
	goleak.VerifyTestMain(m)
}
