package director

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"baton/internal/atomicfile"
	"baton/internal/event"
	"baton/internal/pool"
	"baton/ipvs"
)

// ordersFile, in the state directory, remembers what must outlive the process:
// what the operator has said of real servers, and which servers that the
// configuration no longer has are still on their way out. Without the latter a
// restart would take them out of the table, and break their connections.
const ordersFile = "orders.json"

const (
	ordersVersion = 1
	ordersLimit   = 64 << 20 // bytes
)

type ordersRecord struct {
	Version int           `json:"version"`
	Orders  []orderRecord `json:"orders,omitempty"`
	// Services are what the virtual_servers in Orders are to the kernel, by which they
	// are known again under another name. Older records have none.
	Services map[string][]ipvs.ServiceKey `json:"services,omitempty"`
	Leaving  []pool.Leaving               `json:"leaving,omitempty"`
}

type orderRecord struct {
	Service string         `json:"service"` // name of the virtual_server
	Server  ipvs.ServerKey `json:"server"`
	pool.Order
}

// encodeOrders is the record of what is known now, in an order that does not
// change by itself.
func (p *pools) encodeOrders() ([]byte, error) {
	r := ordersRecord{Version: ordersVersion, Services: map[string][]ipvs.ServiceKey{}}
	for _, name := range slices.Sorted(maps.Keys(p.orders)) {
		for _, k := range slices.SortedFunc(maps.Keys(p.orders[name]), ipvs.ServerKey.Compare) {
			r.Orders = append(r.Orders, orderRecord{name, k, p.orders[name][k]})
		}
		if s := p.named[name]; s != nil {
			r.Services[name] = s.Keys
		}
	}
	for _, d := range p.leaving {
		for _, l := range d.servers {
			r.Leaving = append(r.Leaving, l)
		}
	}
	slices.SortFunc(r.Leaving, func(a, b pool.Leaving) int {
		return cmp.Or(a.Service.Key.Compare(b.Service.Key), a.Server.Key.Compare(b.Server.Key))
	})
	return json.Marshal(r)
}

// decodeOrders takes over a record. What it does not understand it refuses as a
// whole.
func (p *pools) decodeOrders(raw []byte) error {
	var r ordersRecord
	d := json.NewDecoder(bytes.NewReader(raw))
	if err := d.Decode(&r); err != nil {
		return fmt.Errorf("decode orders: %w", err)
	}
	if r.Version != ordersVersion {
		return fmt.Errorf("decode orders: version %d, this baton knows %d", r.Version, ordersVersion)
	}
	for _, o := range r.Orders {
		if o.Weight != nil && (*o.Weight < 0 || *o.Weight > maxServerWeight) || !o.Server.Address.IsValid() {
			return fmt.Errorf("decode orders: %s of %q has an impossible order", o.Server, o.Service)
		}
		if p.orders[o.Service] == nil {
			p.orders[o.Service] = map[ipvs.ServerKey]pool.Order{}
		}
		p.orders[o.Service][o.Server] = o.Order
	}
	p.recorded = map[ipvs.ServiceKey]string{}
	for name, keys := range r.Services {
		for _, k := range keys {
			p.recorded[k] = name
		}
	}
	for _, l := range r.Leaving {
		k := l.Service.Key
		if k.FWMark == 0 && !k.Address.IsValid() || !l.Server.Key.Address.IsValid() {
			return errors.New("decode orders: a leaving server without a key")
		}
		d := p.leaving[k]
		if d == nil {
			d = &departure{service: l.Service, whole: true, servers: map[ipvs.ServerKey]pool.Leaving{}, begun: l.Drain.Begun}
			p.leaving[k] = d
		}
		d.servers[l.Server.Key] = l
	}
	return nil
}

const maxServerWeight = 65535

// loadOrders reads the record of the process before. One that cannot be read is
// told and put aside: to go on without it is better than not to go on.
func (c *core) loadOrders(stateDir string) {
	c.record = &orderWriter{name: filepath.Join(stateDir, ordersFile), wake: make(chan struct{}, 1)}
	raw, err := readBounded(c.record.name, ordersLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		if err = c.decodeOrders(raw); err == nil {
			return
		}
	}
	c.orders, c.leaving, c.recorded = map[string]map[ipvs.ServerKey]pool.Order{}, map[ipvs.ServiceKey]*departure{}, nil
	detail := "drained servers are in service again, weights are the configured ones; the file is now called " + ordersFile + ".unreadable"
	if aside := os.Rename(c.record.name, c.record.name+".unreadable"); aside != nil {
		detail = "drained servers are in service again, weights are the configured ones"
	}
	c.say(event.OrdersFailed, event.F(event.File, c.record.name), event.F(event.Err, err), event.F(event.Detail, detail))
}

func readBounded(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(raw)) > limit {
		err = fmt.Errorf("read %s: larger than %d bytes", name, limit)
	}
	return raw, err
}

// saveOrders has the record written when it has changed.
func (c *core) saveOrders() {
	if !c.unsaved || c.record == nil {
		return
	}
	c.unsaved = false
	raw, err := c.encodeOrders()
	if err != nil {
		c.say(event.OrdersFailed, event.F(event.File, c.record.name), event.F(event.Err, err))
		return
	}
	c.record.put(raw)
}

// orderWriter writes the record in a goroutine of its own: a disk that hangs
// must not hold up the core.
type orderWriter struct {
	name string
	wake chan struct{}

	mu   sync.Mutex
	next []byte // not written yet
}

func (w *orderWriter) put(raw []byte) {
	w.mu.Lock()
	w.next = raw
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// write writes what was put last.
func (w *orderWriter) write() error {
	w.mu.Lock()
	raw := w.next
	w.next = nil
	w.mu.Unlock()
	if raw == nil {
		return nil
	}
	err := atomicfile.Write(w.name, raw, 0o600)
	if err != nil {
		w.mu.Lock()
		if w.next == nil {
			w.next = raw // for the next try
		}
		w.mu.Unlock()
	}
	return err
}

// ordersRetry is the time between two tries to write the record.
const ordersRetry = 10 * time.Second

// run writes what is put until ctx ends, and tells the first failure of a
// series.
func (w *orderWriter) run(ctx context.Context, failed func(error)) {
	told := false
	for {
		var again <-chan time.Time
		switch err := w.write(); {
		case err == nil:
			told = false
		default:
			if !told {
				failed(err)
			}
			told, again = true, after(ordersRetry)
		}
		select {
		case <-w.wake:
		case <-again:
		case <-ctx.Done():
			return
		}
	}
}
