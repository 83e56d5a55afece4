package settings

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"baton/ipvs"
)

// Record is what Baton has changed, so that it can be taken back, by another
// process if need be. It belongs into the runtime directory: a reboot undoes
// all that it tells of.
type Record struct {
	Version  int                         `json:"version"`
	Sysctls  map[string]Change           `json:"sysctls,omitempty"`  // by name below net/ipv4/vs
	Timeouts map[string]Change           `json:"timeouts,omitempty"` // "tcp", "tcpfin", "udp", in seconds
	Daemons  map[ipvs.DaemonRole]Started `json:"daemons,omitempty"`
}

// Change is a value that Baton has set in place of another.
type Change struct {
	Was string `json:"was"`
	Set string `json:"set"`
}

// Started is a synchronisation daemon that Baton has started or adopted.
type Started struct {
	Asked ipvs.SyncDaemon `json:"asked"`
	// Got is what the kernel made of it; the zero value until it was read.
	Got ipvs.SyncDaemon `json:"got"`
	// Link is the index of its interface: one that was deleted and made again
	// has another, and the daemon's sockets are bound to the old one.
	Link int `json:"link"`
	// Sysctls are the parameters that a daemon reads at its start only.
	Sysctls map[string]string `json:"sysctls,omitempty"`
}

// recordVersion changes when an older process could not make sense of a record.
const recordVersion = 1

// maxRecord bounds what is read of a record; one takes some kilobytes.
const maxRecord = 1 << 20

// RecordFile is where the record of a director with that runtime directory is.
func RecordFile(runtimeDir string) string { return filepath.Join(runtimeDir, "ipvs-settings.json") }

// ReadRecord reads a record; a file that does not exist is an empty one.
func ReadRecord(file string) (Record, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return Record{}.clone(), nil
	}
	if err != nil {
		return Record{}.clone(), fmt.Errorf("read record of ipvs settings: %w", err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxRecord+1))
	if err == nil {
		var r Record
		if r, err = parseRecord(raw); err == nil {
			return r, nil
		}
	}
	return Record{}.clone(), fmt.Errorf("read record of ipvs settings %s: %w (remove the file; what an earlier run has set then counts as what was there before)", file, err)
}

func parseRecord(raw []byte) (Record, error) {
	var r Record
	if len(raw) > maxRecord {
		return r, fmt.Errorf("larger than %d bytes", maxRecord)
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		return r, err
	}
	if r.Version != recordVersion {
		return r, fmt.Errorf("version %d, this baton reads %d", r.Version, recordVersion)
	}
	return r.clone(), nil
}

// Encode returns the record as it stands in its file.
func (r Record) Encode() ([]byte, error) {
	raw, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode record of ipvs settings: %w", err)
	}
	return append(raw, '\n'), nil
}

// clone returns a copy without nil maps.
func (r Record) clone() Record {
	c := Record{Version: recordVersion, Sysctls: map[string]Change{}, Timeouts: map[string]Change{}, Daemons: map[ipvs.DaemonRole]Started{}}
	maps.Copy(c.Sysctls, r.Sysctls)
	maps.Copy(c.Timeouts, r.Timeouts)
	maps.Copy(c.Daemons, r.Daemons)
	return c
}
