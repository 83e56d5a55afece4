package director

import (
	"bytes"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"
	"time"

	"baton/conf"
	"baton/healthcheck"
	"baton/internal/journal"
	"baton/internal/nstest"
	"baton/ipvs"
	"baton/ipvs/ipvstest"
)

// many is a configuration of 2,500 services with four servers each.
func many() *conf.Config { return services(2500, 4) }

// services is a configuration of so many services with so many servers each.
func services(n, each int) *conf.Config {
	cfg := tracking()
	for i := range n {
		k := ipvs.AddressKey(ipvs.TCP, netip.AddrPortFrom(netip.MustParseAddr("192.168.16.200"), uint16(i+1)))
		vs := serving(k)
		for j := range each {
			vs.Servers = append(vs.Servers, server(fmt.Sprintf("10.%d.%d.%d:80", j, i/250, i%250+1), 1, fmt.Sprintf("%d/%d", i, j)))
		}
		cfg.Services = append(cfg.Services, vs)
	}
	return cfg
}

// BenchmarkVerdict is what one verdict costs a director with 10,000 servers,
// told and put into the table that the programmer is handed; and what it costs
// when it comes with others.
func BenchmarkVerdict(b *testing.B) {
	for _, size := range []struct{ services, each, batch int }{{2500, 4, 1}, {2500, 4, 100}, {100, 100, 1}, {100, 100, 200}} {
		batch := size.batch
		b.Run(fmt.Sprintf("%d services of %d, %d at a time", size.services, size.each, batch), func(b *testing.B) {
			c := testCore(b, services(size.services, size.each))
			// An instance that waits for its gate looks at all checks, once for each
			// batch; one that serves does not.
			c.instances["VI_1"].ready = true
			for b.Loop() {
				for i := range batch {
					id := fmt.Sprintf("%d/0", i*25%size.services)
					if size.services < batch {
						id = fmt.Sprintf("%d/%d", i%size.services, i/size.services)
					}
					c.judged(healthcheck.Verdict{ID: id, Up: !c.verdicts[id].Up, Reason: healthcheck.Refused})
				}
				c.flush()
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*batch), "µs/verdict")
		})
	}
}

// BenchmarkVerdictApplied is what a verdict costs a director all in all, the
// kernel excepted: told, put into the table, handed to the programmer, its
// service read and changed, and the pass taken over.
func BenchmarkVerdictApplied(b *testing.B) {
	for _, n := range []int{25, 2500} {
		b.Run(fmt.Sprintf("%d services of 4", n), func(b *testing.B) {
			c := programmedCore(b, services(n, 4))
			c.instances["VI_1"].ready = true
			for i := 0; b.Loop(); i++ {
				id := fmt.Sprintf("%d/0", i%25)
				c.judged(healthcheck.Verdict{ID: id, Up: !c.verdicts[id].Up, Reason: healthcheck.Refused})
				c.flush()
				c.pass(b)
			}
		})
	}
}

// programmedCore is a core that has adopted what cfg wants from a kernel that
// costs nothing, all servers in service.
func programmedCore(b *testing.B, cfg *conf.Config) *core {
	b.Helper()
	table := ipvs.Table{}
	for _, vs := range cfg.Services {
		for _, k := range vs.Keys {
			e := ipvs.Entry{Service: vs.At(k)}
			for _, rs := range vs.Servers {
				e.Servers.Put(conf.ServerAt(k, rs.Server))
			}
			table[k] = e
		}
	}
	kernel := ipvstest.New("")
	kernel.Edit(func(t ipvs.Table) { maps.Copy(t, table) })
	c := testCore(b, &conf.Config{})
	var err error
	// Verdicts without a pause between them are more than a disk keeps up with.
	if c.journal, err = journal.Open(journal.Options{Dir: b.TempDir(), Failed: func(error, uint64) {}}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.journal.Close() })
	c.prog, err = newProgrammer(kernel, b.TempDir(), time.Minute, c.passed)
	if err != nil {
		b.Fatal(err)
	}
	c.adopt(cfg, kernel.Table(), ipvs.Ownership{}.With(table))
	if err := c.prog.once(b.Context()); err != nil {
		b.Fatal(err)
	}
	return c
}

// pass has the programmer do what it was asked for.
func (c *core) pass(b *testing.B) {
	if _, err := c.prog.due(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkReloadOne is what a director of 10,000 servers makes of a reload that
// changes the weight of one: the file, what follows from it, and the pass over the
// table, of a kernel that costs nothing.
func BenchmarkReloadOne(b *testing.B) {
	var text bytes.Buffer
	for i := range 2500 {
		fmt.Fprintf(&text, "[[virtual_server]]\naddress = \"10.128.%d.%d:80\"\nlb_kind = \"DR\"\ntcp_check = {}\n", i>>8, i&255)
		for j := range 4 {
			fmt.Fprintf(&text, "[[virtual_server.real_server]]\naddress = \"10.%d.%d.%d:80\"\nweight = 1\n", 129+j, i>>8, i&255)
		}
	}
	file := filepath.Join(b.TempDir(), "baton.toml")
	write := func(weight int) {
		next := bytes.Replace(text.Bytes(), []byte("weight = 1"), fmt.Appendf(nil, "weight = %d", weight), 1)
		if err := os.WriteFile(file, next, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	write(1)
	cfg, err := conf.Load(file, "")
	if err != nil {
		b.Fatal(err)
	}
	c := programmedCore(b, cfg)
	c.opts.ConfigFile = file
	trim()
	defer debug.SetGCPercent(100)
	var used time.Duration
	for i := 0; b.Loop(); i++ {
		write(2 + i%2)
		before := nstest.CPU(b)
		next, err := conf.Reload(c.cfg, file, "")
		if err != nil {
			b.Fatal(err)
		}
		if out, _ := c.change(next); len(out.Changes) != 1 {
			b.Fatal(out.Changes)
		}
		c.pass(b)
		used += nstest.CPU(b) - before
	}
	b.ReportMetric(float64(used.Microseconds())/float64(b.N)/1000, "ms-cpu/reload")
}
