package netif

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"baton/internal/atomicfile"
)

// RecordFile is where the record of a director with that runtime directory is.
func RecordFile(runtimeDir string) string { return filepath.Join(runtimeDir, "addresses.json") }

// maxRecord bounds the file: 20,000 addresses take less than a mebibyte.
const maxRecord = 4 << 20

// record remembers which addresses are ours where the kernel cannot, and
// outlives the process as a file. It is guarded by Manager.mu.
type record struct {
	file    string
	loaded  bool
	loadErr error
	entries []recorded
}

// recorded is one line of the file.
type recorded struct {
	Interface string       `json:"interface"`
	Address   netip.Prefix `json:"address"`
}

func newRecord(file string) *record { return &record{file: file} }

func (r *record) has(iface string, p netip.Prefix) bool {
	r.load()
	return slices.Contains(r.entries, recorded{iface, p})
}

func (r *record) add(iface string, ps []netip.Prefix) error {
	r.load()
	changed := false
	for _, p := range ps {
		if e := (recorded{iface, p}); !slices.Contains(r.entries, e) {
			r.entries = append(r.entries, e)
			changed = true
		}
	}
	if !changed {
		return nil
	}
	return r.save()
}

func (r *record) remove(iface string, ps []netip.Prefix) error {
	r.load()
	before := len(r.entries)
	r.entries = slices.DeleteFunc(r.entries, func(e recorded) bool {
		return e.Interface == iface && slices.Contains(ps, e.Address)
	})
	if len(r.entries) == before {
		return nil
	}
	return r.save()
}

// takeLoadError returns once why an earlier run's record could not be read.
func (r *record) takeLoadError() error {
	err := r.loadErr
	r.loadErr = nil
	return err
}

func (r *record) load() {
	if r.loaded || r.file == "" {
		return
	}
	r.loaded = true
	entries, err := readRecord(r.file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.loadErr = fmt.Errorf("read address record: %w (remove the file; addresses of an earlier run have to be removed by hand)", err)
		return
	}
	r.entries = append(r.entries, entries...)
}

func readRecord(file string) ([]recorded, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxRecord+1))
	if err != nil {
		return nil, err
	}
	return parseRecord(file, data)
}

func parseRecord(file string, data []byte) ([]recorded, error) {
	if len(data) > maxRecord {
		return nil, fmt.Errorf("%s: larger than %d bytes", file, maxRecord)
	}
	var entries []recorded
	if err := json.Unmarshal(data, &entries); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for _, e := range entries {
		if e.Interface == "" || !e.Address.IsValid() {
			return nil, fmt.Errorf("%s: entry without interface or address", file)
		}
	}
	return entries, nil
}

// save replaces the file as a whole: half a record would be none.
func (r *record) save() error {
	if r.file == "" {
		return nil
	}
	data, err := json.Marshal(r.entries)
	if err != nil {
		return fmt.Errorf("write address record: %w", err)
	}
	if err := atomicfile.Write(r.file, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("write address record: %w", err)
	}
	return nil
}
