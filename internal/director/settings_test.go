package director

import (
	"context"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"baton/conf"
	"baton/internal/event"
	"baton/internal/settings"
	"baton/ipvs"
	"baton/ipvs/ipvstest"
)

// office is a steward that works for a core over a fake kernel.
type office struct {
	*core
	kernel *ipvstest.Kernel
	sysctl string // net.ipv4.vs.conntrack, the one that there is
	refuse error
	tries  int // of setting it
	links  map[string]int
}

func inOffice(t *testing.T, dir string, k *ipvstest.Kernel, f func(o *office)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o := &office{core: testCore(t, &conf.Config{}), kernel: k, sysctl: "0", links: map[string]int{"eth0": 2}}
		m := settings.Machine{Kernel: k,
			Sysctl: func(name string) (string, error) {
				if name != "net/ipv4/vs/conntrack" {
					return "", fs.ErrNotExist
				}
				return o.sysctl, nil
			},
			SetSysctl: func(_, value string) error {
				o.tries++
				if o.refuse == nil {
					o.sysctl = value
				}
				return o.refuse
			},
			Link: func(name string) (int, error) { return o.links[name], nil },
		}
		ctx, cancel := context.WithCancel(t.Context())
		o.steward = newSteward(m, dir, 30*time.Second, func(p settled) { o.postAlways(func() { o.gotSettled(p) }) })
		coreDone, done := make(chan struct{}), make(chan error, 1)
		go func() { o.run(ctx); close(coreDone) }()
		go func() { done <- o.steward.run(ctx, func() {}) }()
		f(o)
		cancel()
		<-coreDone
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// want hands a configuration in and lets time pass.
func (o *office) want(c conf.IPVS, pass time.Duration) {
	o.steward.set(c)
	<-time.After(pass)
	synctest.Wait()
}

// heard are the settings' lines since the last call.
func (o *office) heard(seen *int) string {
	all := o.told(event.IPVSSettingApplied, event.IPVSSettingDrift, event.IPVSSettingFailed, event.IPVSDaemonForeign)
	lines := strings.Join(all[*seen:], "\n")
	*seen = len(all)
	return lines
}

var office1 = conf.IPVS{Sync: &ipvs.SyncDaemon{Interface: "eth0", SyncID: 51}, Sysctls: []conf.Sysctl{{Name: "conntrack", Value: "1"}}}

func TestSettingsAreToldOnce(t *testing.T) {
	inOffice(t, t.TempDir(), ipvstest.New(""), func(o *office) {
		seen := 0
		expect := func(what, want string) {
			t.Helper()
			if got := o.heard(&seen); got != want {
				t.Errorf("%s: told\n%s\nwant\n%s", what, got, want)
			}
		}
		_ = o.kernel.StartDaemon(t.Context(), ipvs.DaemonBackup, ipvs.SyncDaemon{Interface: "eth9", SyncID: 9})
		o.want(conf.IPVS{}, 95*time.Second)
		expect("a stranger's daemon", "ipvs.daemon.foreign detail=sync daemon backup (--mcast-interface eth9 --syncid 9 --sync-maxlen 1472"+
			" --mcast-group 224.0.0.81 --mcast-port 8848 --mcast-ttl 1) reason=not in the configuration, left alone")
		_ = o.kernel.StopDaemon(t.Context(), ipvs.DaemonBackup)

		delete(o.links, "eth0")
		o.refuse = syscall.EROFS
		o.want(office1, 95*time.Second)
		expect("neither interface nor writable /proc", "ipvs.setting.failed error=lvs_sync_daemon: interface eth0 does not exist; the daemons are started when it appears\n"+
			"read-only file system")
		if o.tries < 6 || o.tries > 9 { // after 0, 1, 3, 7, 15, 31, 61 and 91 s
			t.Errorf("tried %d times in 95 s", o.tries)
		}
		if st := o.ipvsStatus(); len(st.Daemons) != 2 || st.Daemons[0].Running || st.Sysctls[0].Value != "0" || st.Problem == "" || st.Timeouts.TCP != 900 {
			t.Errorf("status is %+v", st)
		}

		o.links["eth0"], o.refuse = 2, nil
		o.want(office1, time.Minute)
		expect("both are mended", "ipvs.setting.applied command=sysctl -w net.ipv4.vs.conntrack=1 from=0 reason=configured\n"+
			"ipvs.setting.applied command=ipvsadm --start-daemon master --mcast-interface eth0 --syncid 51 reason=configured\n"+
			"ipvs.setting.applied command=ipvsadm --start-daemon backup --mcast-interface eth0 --syncid 51 reason=configured")
		if st := o.ipvsStatus(); !st.Daemons[0].Running || !st.Daemons[1].Configured || st.Daemons[1].Group != "224.0.0.81" || st.Sysctls[0].Was != "0" || st.Problem != "" {
			t.Errorf("status is %+v", st)
		}

		o.sysctl = "0"
		_ = o.kernel.StopDaemon(t.Context(), ipvs.DaemonMaster)
		<-time.After(31 * time.Second)
		synctest.Wait()
		expect("somebody interferes", "ipvs.setting.drift command=sysctl -w net.ipv4.vs.conntrack=1 from=0 reason=somebody else changed it\n"+
			"ipvs.setting.drift command=ipvsadm --start-daemon master --mcast-interface eth0 --syncid 51 reason=somebody else changed it")
	})
}

// TestSettingsOutliveTheProcess: a stop keeps them, the next process knows what
// they were; on_stop = "remove" takes them back.
func TestSettingsOutliveTheProcess(t *testing.T) {
	dir := t.TempDir()
	kept := ipvstest.New("")
	inOffice(t, dir, kept, func(o *office) { o.want(office1, time.Second) })
	inOffice(t, dir, kept, func(o *office) {
		o.sysctl = "1"
		o.want(office1, time.Second)
		o.want(conf.IPVS{}, time.Second)
		if d, _ := o.kernel.Daemons(t.Context()); len(d) > 0 || o.sysctl != "0" {
			t.Errorf("not taken back: conntrack %s, daemons %v", o.sysctl, d)
		}
	})
	if err := os.WriteFile(settings.RecordFile(dir), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	inOffice(t, dir, kept, func(o *office) {
		o.want(office1, time.Second)
		if lines := o.told(event.IPVSSettingFailed); len(lines) != 1 || !strings.Contains(lines[0], "remove the file") {
			t.Errorf("a broken record is told as %q", lines)
		}
		if d, _ := o.kernel.Daemons(t.Context()); len(d) != 2 || o.sysctl != "1" {
			t.Errorf("a broken record keeps from working: conntrack %s, daemons %v", o.sysctl, d)
		}
	})
}
