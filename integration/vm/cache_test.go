package vm

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestCachedFillsOnceForAll lets all of them find nothing before the first can
// begin to fill.
func TestCachedFillsOnceForAll(t *testing.T) {
	base := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", base)
	if err := os.Mkdir(filepath.Join(base, "baton"), 0o755); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		unlock, err := lock(t.Context(), filepath.Join(base, "baton", "lock"))
		if err != nil {
			t.Fatal(err)
		}
		fills := 0 // guarded by the lock that is under test
		for range 8 {
			go func() {
				dir, err := cached(t.Context(), "kernel", func(dir string) error {
					fills++
					return os.WriteFile(filepath.Join(dir, "vmlinuz"), []byte("k"), 0o644)
				})
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := os.Stat(filepath.Join(dir, "vmlinuz")); err != nil {
					t.Error(err)
				}
			}()
		}
		synctest.Wait()
		unlock()
		<-time.After(time.Minute) // of the bubble's clock: until all have had the lock
		synctest.Wait()
		if fills != 1 {
			t.Errorf("filled %d times", fills)
		}
	})
}

func TestCachedLeavesNothingHalfDone(t *testing.T) {
	base := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", base)
	broken := errors.New("mirror is down")
	for range 2 {
		_, err := cached(context.Background(), "kernel", func(dir string) error {
			if err := os.WriteFile(filepath.Join(dir, "half"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
			return broken
		})
		if !errors.Is(err, broken) {
			t.Errorf("error is %v", err)
		}
	}
	entries, err := os.ReadDir(filepath.Join(base, "baton"))
	if err != nil || len(entries) != 1 || entries[0].Name() != "lock" {
		t.Errorf("cache holds %v, %v; want the lock alone", entries, err)
	}
}

func TestLockTellsWhoWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lock(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := lock(ctx, path); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "which another run holds") {
		t.Errorf("error is %v", err)
	}
	unlock()
	again, err := lock(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	again()
}
