package vm

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func TestCachedFillsOnceForAll(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	var fills atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			dir, err := cached(context.Background(), "kernel", func(dir string) error {
				fills.Add(1)
				return os.WriteFile(filepath.Join(dir, "vmlinuz"), []byte("k"), 0o644)
			})
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := os.Stat(filepath.Join(dir, "vmlinuz")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := fills.Load(); n != 1 {
		t.Errorf("filled %d times", n)
	}
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
