package settings

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"baton/conf"
	"baton/ipvs"
	"baton/ipvs/ipvstest"
)

// box is a machine of maps, whose changes are told as commands.
type box struct {
	*ipvstest.Kernel
	sysctls  map[string]string
	links    map[string]int
	refuse   error // what writing a parameter is answered with
	writes   []string
	records  []Record
	saveErr  error
	stubborn string // a parameter that cannot be changed though it says so
}

func newBox() *box {
	return &box{Kernel: ipvstest.New(""), links: map[string]int{"eth0": 2, "eth1": 3},
		sysctls: map[string]string{"expire_nodest_conn": "0", "sync_threshold": "3\t50", "secure_tcp": "0", "sync_ports": "1", "sync_sock_size": "0"}}
}

func (b *box) machine() Machine {
	return Machine{
		Kernel: b.Kernel,
		Sysctl: func(name string) (string, error) {
			v, there := b.sysctls[strings.TrimPrefix(name, "net/ipv4/vs/")]
			if !there {
				return "", fmt.Errorf("read sysctl %s: %w", name, fs.ErrNotExist)
			}
			return v, nil
		},
		SetSysctl: func(name, value string) error {
			if b.refuse != nil {
				return fmt.Errorf("set sysctl %s to %s: %w", name, value, b.refuse)
			}
			name = strings.TrimPrefix(name, "net/ipv4/vs/")
			b.writes = append(b.writes, name+"="+value)
			if name != b.stubborn {
				b.sysctls[name] = strings.ReplaceAll(value, " ", "\t")
			}
			return nil
		},
		Link: func(name string) (int, error) { return b.links[name], nil },
	}
}

func (b *box) reconciler(rec Record) *Reconciler {
	return NewReconciler(b.machine(), rec, func(r Record) error {
		b.records = append(b.records, r)
		return b.saveErr
	})
}

// record is what a process that is started now would find.
func (b *box) record() Record {
	if len(b.records) == 0 {
		return Record{}
	}
	return b.records[len(b.records)-1]
}

// changes returns what was done since the last call, in the order of plans.
func (b *box) changes() string {
	out := append(b.writes, b.Commands()...)
	b.writes = nil
	return strings.Join(out, "\n")
}

// String is everything that can be set.
func (b *box) String() string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(b.sysctls)) {
		out = append(out, name+"="+b.sysctls[name])
	}
	t, _ := b.Timeouts(bg)
	d, _ := b.Daemons(bg)
	return strings.Join(append(out, t.String(), fmt.Sprint(d)), "\n")
}

func daemon(iface string, id uint8) *ipvs.SyncDaemon {
	return &ipvs.SyncDaemon{Interface: iface, SyncID: id}
}

func sysctls(pairs ...string) []conf.Sysctl {
	var out []conf.Sysctl
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, conf.Sysctl{Name: pairs[i], Value: pairs[i+1]})
	}
	return out
}

func timeouts(tcp, fin, udp int) ipvs.Timeouts {
	return ipvs.Timeouts{TCP: time.Duration(tcp) * time.Second, TCPFin: time.Duration(fin) * time.Second, UDP: time.Duration(udp) * time.Second}
}
