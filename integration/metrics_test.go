package integration

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"baton/internal/lab"
	"baton/internal/metrics"
)

// readers is where the directors' read-only listeners are.
var readers = netip.MustParseAddrPort("127.0.0.1:9112")

// overTCP sends a request from a node's own namespace.
func overTCP(t testing.TB, l *lab.Lab, node string, to netip.AddrPort, method, path string) (int, string, error) {
	t.Helper()
	var conn net.Conn
	if err := l.In(node, func() (err error) {
		conn, err = net.DialTimeout("tcp", to.String(), patience)
		return err
	}); err != nil {
		return 0, "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return 0, "", err
	}
	if _, err := fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", method, path, node); err != nil {
		return 0, "", err
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res.StatusCode, string(body), err
}

// askFour has a client served four times, so that both servers have their share.
func askFour(t *testing.T, l *lab.Lab) {
	t.Helper()
	for n := 0; n < 4; {
		within(t, "an answer for a client", func() string {
			if _, _, err := overTCP(t, l, lab.ClientNode, netip.AddrPortFrom(lab.VIP, lab.ServicePort), "GET", "/"); err != nil {
				return err.Error()
			}
			n++
			return ""
		})
	}
}

// scraped is a scrape as Prometheus's own parser reads it: value by series.
type scraped struct {
	value   map[string]float64
	counter map[string]bool // those that only rise, buckets included
}

func scrape(t *testing.T, l *lab.Lab, node string) scraped {
	t.Helper()
	code, text, err := overTCP(t, l, node, readers, "GET", "/metrics")
	if err != nil || code != http.StatusOK {
		t.Fatalf("%s: scrape: %d %s %v", node, code, text, err)
	}
	p := expfmt.NewTextParser(model.LegacyValidation)
	families, err := p.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%s: %v", node, err)
	}
	out := scraped{map[string]float64{}, map[string]bool{}}
	for name, f := range families {
		if !slices.ContainsFunc(metrics.Families(), func(k *metrics.Family) bool { return k.Name == name }) {
			t.Errorf("%s: %s is not in the catalogue", node, name)
		}
		for _, m := range f.Metric {
			var labels []string
			for _, lp := range m.Label {
				labels = append(labels, fmt.Sprintf("%s=%q", lp.GetName(), lp.GetValue()))
			}
			slices.Sort(labels)
			id := name + "{" + strings.Join(labels, ",") + "}"
			switch f.GetType() {
			case dto.MetricType_COUNTER:
				out.value[id], out.counter[id] = m.GetCounter().GetValue(), true
			case dto.MetricType_HISTOGRAM:
				out.value[id], out.counter[id] = float64(m.GetHistogram().GetSampleCount()), true
			default:
				out.value[id] = m.GetGauge().GetValue()
			}
		}
	}
	return out
}

// sum adds up the series of a metric that have all of these labels.
func (s scraped) sum(name string, labels ...string) (total float64) {
	for id, v := range s.value {
		if strings.HasPrefix(id, name+"{") && !slices.ContainsFunc(labels, func(l string) bool { return !strings.Contains(id, l) }) {
			total += v
		}
	}
	return total
}

// TestScrape: both directors are scraped before and after a planned change.
// What the figures say is what has happened, and nothing that counts runs
// backwards. What would change something is refused at the same address.
func TestScrape(t *testing.T) {
	// A check that times out takes the entry of its server away, and the counters
	// with it: on a slow machine that needs more than a second.
	l := start(t, lab.Options{CheckInterval: 5 * time.Second, GlobalTOML: "control_listen = \"127.0.0.1:9112\"\nkeepalived_names = true"})
	askFour(t, l)
	before := map[string]scraped{lab.LVSA: scrape(t, l, lab.LVSA), lab.LVSB: scrape(t, l, lab.LVSB)}
	if code, body, err := overTCP(t, l, lab.LVSA, readers, "POST", "/v1/failover"); code != http.StatusForbidden || !strings.Contains(body, "remedy") {
		t.Errorf("failover over TCP: %d %s %v", code, body, err)
	}
	if got := scrape(t, l, lab.LVSA); got.sum("baton_vrrp_state", `state="MASTER"`) != 1 {
		t.Error("what was refused was done")
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := l.FailOver(ctx, lab.LVSA); err != nil {
		t.Fatal(err)
	}
	if err := l.AwaitMaster(ctx, lab.LVSB); err != nil {
		t.Fatal(err)
	}
	askFour(t, l)
	var after map[string]scraped
	within(t, "metrics of the new master in which all is as it was done", func() string {
		after = map[string]scraped{lab.LVSA: scrape(t, l, lab.LVSA), lab.LVSB: scrape(t, l, lab.LVSB)}
		a, b := after[lab.LVSA], after[lab.LVSB]
		if b.sum("baton_ipvs_connections_total") == 0 || a.sum("baton_vrrp_adverts_received_total") == 0 {
			return "no connection, or no advert"
		}
		if up := a.sum("baton_process_up") + b.sum("baton_process_up"); up != 6 {
			return fmt.Sprintf("%v processes answer, want 6", up)
		}
		return ""
	})

	for node, was := range before {
		is := after[node]
		for id := range was.counter {
			if v, there := is.value[id]; !there || v < was.value[id] {
				t.Errorf("%s: %s was %v and is %v", node, id, was.value[id], v)
			}
		}
		for _, p := range []string{"director", "speaker", "prober"} {
			p = fmt.Sprintf("process=%q", p)
			if is.sum("baton_process_up", p) != 1 || is.sum("baton_process_resident_memory_bytes", p) < 1<<20 || is.sum("baton_process_cpu_seconds_total", p) <= 0 {
				t.Errorf("%s: %s: up %v, %v bytes, %v s", node, p, is.sum("baton_process_up", p), is.sum("baton_process_resident_memory_bytes", p), is.sum("baton_process_cpu_seconds_total", p))
			}
		}
		if n, servers := is.sum("baton_checks"), is.sum("baton_virtual_server_servers"); n != 2 || servers != 2 || is.sum("baton_check_attempts_total", `kind="http"`) < 2 || is.sum("baton_check_lateness_seconds") < 2 {
			t.Errorf("%s: %v servers, %v checks: %v", node, servers, n, slices.Sorted(maps.Keys(is.value)))
		}
		if is.sum("baton_server_up") == 0 || is.sum("baton_ipvs_backend_weight") == 0 || is.sum("baton_virtual_server_up") != 1 || is.sum("baton_config_last_reload_successful") != 1 || is.sum("baton_vrrp_lateness_seconds") == 0 {
			t.Errorf("%s: weight %v, up %v", node, is.sum("baton_ipvs_backend_weight"), is.sum("baton_virtual_server_up"))
		}
	}
	a, b := after[lab.LVSA], after[lab.LVSB]
	// A machine that is very slow may need more than one of each.
	for _, c := range []struct {
		what string
		got  float64
		want float64
	}{
		{"a was master", before[lab.LVSA].sum("baton_vrrp_state", `state="MASTER"`), 1},
		{"b was backup", before[lab.LVSB].sum("baton_vrrp_state", `state="BACKUP"`), 1},
		{"a is backup", a.sum("baton_vrrp_state", `state="BACKUP"`), 1},
		{"b is master", b.sum("baton_vrrp_state", `state="MASTER"`), 1},
		{"transitions of a from MASTER", a.sum("baton_vrrp_transitions_total", `from="MASTER"`, `to="BACKUP"`), 1},
		{"transitions of b to MASTER", b.sum("baton_vrrp_transitions_total", `to="MASTER"`, `reason="master resigned"`), 1},
		{"resignations of a", a.sum("baton_vrrp_priority_zero_sent_total"), 1},
		{"resignations that b has heard", b.sum("baton_vrrp_priority_zero_received_total"), 1},
		{"keepalived_become_master_total of b", b.sum("keepalived_become_master_total", `iname="VI_1"`, `vrid="51"`), 1},
		{"keepalived_release_master_total of a", a.sum("keepalived_release_master_total"), 1},
		{"keepalived_vrrp_state of b", b.sum("keepalived_vrrp_state", `ip_address="192.168.16.200"`), 2},
		{"handovers of a in the log", a.sum("baton_events_total", `event="handover.done"`), 1},
	} {
		if c.got < c.want {
			t.Errorf("%s: %v, want %v", c.what, c.got, c.want)
		}
	}
	// Both servers were given connections, and the kernel's sum is that of its parts.
	for _, node := range []string{lab.LVSA, lab.LVSB} {
		if s := after[node]; s.sum("baton_ipvs_connections_total") == 0 || s.sum("baton_ipvs_connections_total") != s.sum("baton_ipvs_backend_connections_total") {
			t.Errorf("%s: %v connections of the service, %v of its servers", node, s.sum("baton_ipvs_connections_total"), s.sum("baton_ipvs_backend_connections_total"))
		}
	}
}
