package director

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"baton/conf"
	"baton/healthcheck"
	"baton/ipvs"
	"baton/ipvs/ipvstest"
)

// TestRowsOfChanges: verdicts and reloads in any row, with passes after some of
// them of which some meet a kernel that does not answer, refuses or is short of
// memory, end in the table that is wanted; what the core has read is that table,
// and no service of ours was made that the record of them did not have.
func TestRowsOfChanges(whole *testing.T) {
	rapid.Check(whole, func(t *rapid.T) {
		const foreign = "-A -t 192.0.2.9:9 -s rr\n"
		kernel := ipvstest.New(foreign)
		c := testCore(whole, &conf.Config{})
		var err error
		c.prog, err = newProgrammer(kernel, whole.TempDir(), time.Minute, c.passed)
		if err != nil {
			t.Fatal(err)
		}
		recorded := func() (o ipvs.Ownership) {
			raw, err := os.ReadFile(c.prog.record)
			if err == nil {
				err = json.Unmarshal(raw, &o)
			}
			if err != nil {
				t.Fatal(err)
			}
			return o
		}
		failing := false
		trouble := func() error {
			if !failing {
				return nil
			}
			return rapid.SampledFrom([]error{nil, nil, nil, syscall.ENOBUFS, syscall.ENOMEM, syscall.EPERM, ipvs.ErrHung}).Draw(t, "trouble")
		}
		kernel.BeforeRead = trouble
		kernel.BeforeApply = func(op ipvs.Op) error {
			if op.Kind == ipvs.AddService && !recorded().Has(op.Service.Key) {
				t.Fatalf("%s, which the record does not have", op)
			}
			return trouble()
		}
		c.adopt(drawServices(t), kernel.Table(), ipvs.Ownership{})
		pass := func() error {
			_, err := c.prog.due(t.Context())
			if len(c.prog.recorded) != len(c.prog.owned) || !cmp.Equal(recorded(), c.prog.owned) {
				t.Fatalf("recorded is %v, owned %v", recorded().Keys(), c.prog.owned.Keys())
			}
			return err
		}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			switch rapid.IntRange(0, 6).Draw(t, "step") {
			case 0:
				c.change(drawServices(t))
			case 1, 2, 3:
				id := fmt.Sprintf("%d/%d", rapid.IntRange(0, ports-1).Draw(t, "service"), rapid.IntRange(0, 2).Draw(t, "server"))
				c.judged(healthcheck.Verdict{ID: id, Up: rapid.Bool().Draw(t, "up"), Reason: healthcheck.Refused})
			case 4:
				c.prog.poke()
			default:
				failing = rapid.Bool().Draw(t, "failing")
				c.flush()
				_ = pass()
			}
		}
		failing = false
		c.flush()
		if err := pass(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(ipvstest.New(foreign+c.table.String()).String(), kernel.String()); diff != "" {
			t.Fatalf("wanted (-) and programmed (+):\n%s", diff)
		}
		if diff := cmp.Diff(kernel.String(), c.observed.String()); diff != "" {
			t.Fatalf("programmed (-) and read (+):\n%s", diff)
		}
		if len(c.foreign) != 1 || len(c.prog.owned) != len(c.table) {
			t.Fatalf("foreign are %v, owned %v of %v", c.foreign, c.prog.owned.Keys(), c.table.Keys())
		}
	})
}

// ports are those of services that drawServices may draw.
const ports = 12

func drawServices(t *rapid.T) *conf.Config {
	cfg := tracking()
	for i := range ports {
		if rapid.IntRange(0, 3).Draw(t, "there") == 0 {
			continue
		}
		vs := serving(ipvs.AddressKey(ipvs.TCP, netip.AddrPortFrom(netip.MustParseAddr("192.168.16.200"), uint16(i+1))))
		vs.DrainTimeout = 0
		for j := range rapid.IntRange(0, 3).Draw(t, "servers") {
			vs.Servers = append(vs.Servers, server(fmt.Sprintf("10.0.%d.%d:80", j, i+1), rapid.IntRange(1, 2).Draw(t, "weight"), fmt.Sprintf("%d/%d", i, j)))
		}
		cfg.Services = append(cfg.Services, vs)
	}
	return cfg
}
