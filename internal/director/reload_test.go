package director

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"baton/conf"
	"baton/internal/control"
)

// TestReloadsTakeTurns: of two reloads at a time the later one has the later
// file, and its answer is about that.
func TestReloadsTakeTurns(t *testing.T) {
	var file string
	write := func(key string) {
		t.Helper()
		if err := os.WriteFile(file, []byte("[global]\n"+key+" = 1\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	atWork(t, func(dir string) *conf.Config {
		file = filepath.Join(dir, "baton.toml")
		return masters(dir, time.Second)
	}, func(c *core) {
		c.opts.ConfigFile = file
		write("older_mistake")
		c.reloading <- struct{}{} // another reload is being read
		answer := make(chan control.Reload, 1)
		go func() {
			out, err := c.Reload(context.Background())
			if err != nil {
				t.Error(err)
			}
			answer <- out
		}()
		synctest.Wait()
		write("newer_mistake")
		<-c.reloading
		if out := <-answer; out.OK || len(out.Problems) != 1 || !strings.Contains(out.Problems[0], "newer_mistake") {
			t.Errorf("answered %+v", out)
		}
	})
}
