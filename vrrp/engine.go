package vrrp

import (
	"context"
	"net/netip"
	"time"
)

// EngineOptions is what an Engine works with. Listen, Addresses, Announcer and
// Notify are needed.
type EngineOptions struct {
	Listen    func(iface string) (Conn, error) // Listen of this package, or a test's
	Addresses Addresses
	Announcer Announcer
	// Notify is called from the engine's goroutine: it must neither wait nor
	// call the engine.
	Notify func(Notice)
	// Now is the clock of all deadlines. It must not jump, and should go on
	// while the machine is suspended. nil: CLOCK_BOOTTIME.
	Now func() time.Time
	// Wall stamps notices. nil: Now where that was given, else time.Now.
	Wall func() time.Time
}

// Engine runs virtual routers: one goroutine, that of Run, owns all of them.
type Engine struct{ opts EngineOptions }

// NewEngine returns an engine without instances.
func NewEngine(opts EngineOptions) *Engine { return &Engine{opts: opts} }

// Run works until ctx ends or Shutdown has finished. When ctx ends the
// instances resign and withdraw their addresses at once.
func (e *Engine) Run(ctx context.Context) error { return nil }

// Apply makes cfgs the instances, whole and idempotently; an instance that is
// missing hands over and goes. An instance named in resume starts as master at
// once: its addresses are still here from a speaker that died. Apply returns
// Validate's error, and then nothing has changed.
func (e *Engine) Apply(cfgs []Config, resume map[string]bool) error { return nil }

// SetReady opens and closes the ready gates by instance name; a name that is
// missing is not ready. An instance that is not ready never becomes master.
func (e *Engine) SetReady(ready map[string]bool) {}

// SetLink tells the state of an interface; an interface never told of is down.
// primary must not be a virtual address.
func (e *Engine) SetLink(iface string, up bool, primary netip.Addr, ifindex int) {}

// Failover begins to hand the instance over to its peer, "" every instance
// that is master, and returns why not when it cannot. How it ends is told by
// NoticeHandoverDone or NoticeHandoverFailed.
func (e *Engine) Failover(instance string) error { return nil }

// Shutdown stops every instance with a handover and returns when Run has.
// When ctx ends first the addresses are withdrawn at once.
func (e *Engine) Shutdown(ctx context.Context) error { return nil }

// Status returns every instance, sorted by name.
func (e *Engine) Status() []Status { return nil }
