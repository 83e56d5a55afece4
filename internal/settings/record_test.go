package settings

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"baton/conf"
	"baton/ipvs"
)

func TestRecordRoundTrip(t *testing.T) {
	file := filepath.Join(t.TempDir(), "r.json")
	if r, err := ReadRecord(file); err != nil || !reflect.DeepEqual(r, Record{}.clone()) {
		t.Errorf("without a file: %+v, %v", r, err)
	}
	was := Record{
		Sysctls:  map[string]Change{"conntrack": {Was: "0", Set: "1"}},
		Timeouts: map[string]Change{"udp": {Was: "300", Set: "60"}},
		Daemons:  map[ipvs.DaemonRole]Started{ipvs.DaemonBackup: {Asked: *daemon("eth0", 51), Link: 2, Sysctls: map[string]string{"sync_ports": "1"}}},
	}.clone()
	raw, err := was.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := ReadRecord(file); err != nil || !reflect.DeepEqual(r, was) {
		t.Errorf("read back %+v, %v", r, err)
	}
}

func TestRecordThatCannotBeRead(t *testing.T) {
	for text, why := range map[string]string{
		"": "unexpected end", "[]": "cannot unmarshal", `{"version": 2}`: "version 2, this baton reads 1", strings.Repeat(" ", maxRecord+1): "larger than",
	} {
		file := filepath.Join(t.TempDir(), "r.json")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadRecord(file); err == nil || !strings.Contains(err.Error(), why) || !strings.Contains(err.Error(), "remove the file") {
			t.Errorf("%.20q: %v, want %q", text, err, why)
		}
	}
}

// FuzzRecord: whatever the file holds, a plan is made of it.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"version":1,"timeouts":{"udp":{"was":"x","set":"300"}},"daemons":{"1":{"asked":{"Interface":"eth0"}}}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := parseRecord(raw)
		if err != nil {
			return
		}
		now := State{Timeouts: timeouts(900, 120, 300), Sysctls: map[string]string{"conntrack": "1"}, Daemons: map[ipvs.DaemonRole]ipvs.SyncDaemon{ipvs.DaemonMaster: *daemon("eth0", 51)}}
		for _, op := range append(Plan(full, now, r).Ops, Plan(conf.IPVS{}, now, r).Ops...) {
			if op.String() == "" || op.Object() == "" {
				t.Errorf("an operation without a command: %+v", op)
			}
		}
	})
}
