package director

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"baton/conf"
	"baton/internal/netif"
	"baton/internal/plan"
	"baton/internal/settings"
	"baton/ipvs"
	"baton/vrrp"
)

// CleanupOptions say what a clean-up removes, and from where it knows what
// there is.
type CleanupOptions struct {
	RuntimeDir string
	StateDir   string
	// IPVS also removes our services from the kernel's table and takes back
	// what was set in IPVS. Connections end with it.
	IPVS bool
	// SpeakerWithin bounds the wait for a speaker that outlived its director
	// and hands its addresses over; after it the speaker is killed.
	SpeakerWithin time.Duration
	// Instances reads the configuration's, so that the peers can be told of those
	// that were master here. It is called when addresses were removed.
	Instances func() ([]vrrp.Config, error)
	Say       func(line string) // of what was done and what is waited for
}

// Cleanup removes what a director that is dead has left in the kernel:
// addresses, virtual routes and rules, VMACs, relays; and tells the peers of
// instances that were master. Whatever does not carry our mark stays. It refuses
// while a director runs in this network namespace, whatever its runtime directory.
// What fails does not keep the rest from being removed.
func Cleanup(ctx context.Context, o CleanupOptions) error {
	lock, err := lockRuntime(o.RuntimeDir, stopFirst)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := refuseBeside(); err != nil {
		return err
	}
	speaker, err := o.awaitSpeaker(ctx)
	if err != nil {
		return err
	}
	if speaker != nil {
		defer speaker.Close()
	}
	err = o.network()
	if o.IPVS {
		err = errors.Join(err, o.ipvs(ctx))
	}
	return err
}

// stopFirst refuses a clean-up under a director.
func stopFirst(held *errHeld) error {
	return fmt.Errorf("clean up: a director runs with pid %s (it holds %s) and removes what is its own itself; stop it first: systemctl stop baton", held.pid, held.file)
}

// refuseBeside refuses a clean-up beside a director with another runtime directory:
// what that one holds carries the same mark.
func refuseBeside() error {
	running, err := namespaceHolders()
	if err != nil {
		return fmt.Errorf("clean up: %w", err)
	}
	if len(running) > 0 {
		return fmt.Errorf("clean up: a director runs in this network namespace (%s), whose addresses carry the same mark; stop it first", running[0])
	}
	return nil
}

// awaitSpeaker waits until no speaker holds addresses any more, and keeps
// another from beginning to.
func (o CleanupOptions) awaitSpeaker(ctx context.Context) (*os.File, error) {
	name := filepath.Join(o.RuntimeDir, speakerLock)
	ctx, cancel := context.WithTimeout(ctx, o.SpeakerWithin+speakerDiesWithin)
	defer cancel()
	killAt := time.Now().Add(o.SpeakerWithin)
	told, killed := false, false
	for {
		f, err := lockFile(name, false)
		var held *errHeld
		if !errors.As(err, &held) {
			return f, err
		}
		if !told {
			told = true
			o.Say(fmt.Sprintf("waiting for the speaker, pid %s, which hands its addresses over", held.pid))
		}
		if pid, err := strconv.Atoi(held.pid); err == nil && pid > 1 && !killed && time.Now().After(killAt) {
			// It holds the lock, so the pid is its own.
			if err := unix.Kill(pid, unix.SIGKILL); err != nil {
				return nil, fmt.Errorf("kill the speaker, pid %d, which does not end: %w", pid, err)
			}
			killed = true
			o.Say(fmt.Sprintf("killed the speaker, pid %d: it did not end within %v", pid, o.SpeakerWithin))
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("clean up: the speaker, pid %s, does not end (it holds %s)", held.pid, held.file)
		case <-after(speakerBeat):
		}
	}
}

const (
	speakerBeat       = 50 * time.Millisecond
	speakerDiesWithin = 5 * time.Second // after it was killed
)

// network removes what a speaker sets: first what leads to the addresses, then
// the addresses, then what keeps packets away from them. The peers are told as
// soon as the addresses are gone, and before the VMACs that adverts leave from.
func (o CleanupOptions) network() error {
	m, err := newNetif(o.RuntimeDir)
	if err != nil {
		return err
	}
	defer m.Close()
	var errs []error
	rules, err := m.RemoveStrayRules(nil)
	o.removed("rule %s", rules)
	errs = append(errs, err)
	routes, err := m.RemoveStrayRoutes(nil)
	o.removed("route %s", routes)
	errs = append(errs, err)
	addresses, err := m.RemoveStrayAddresses(nil)
	for _, dev := range slices.Sorted(maps.Keys(addresses)) {
		for _, p := range addresses[dev] {
			o.removed("address %s", []string{p.String() + " from " + dev})
		}
	}
	errs = append(errs, err)
	o.resign(m, addresses)
	vmacs, err := m.VMACs()
	errs = append(errs, err)
	for _, name := range vmacs {
		gone, err := m.RemoveVMAC(name)
		if gone {
			o.removed("interface %s", []string{name})
		}
		errs = append(errs, err)
	}
	errs = append(errs, m.RestoreParents(nil))
	rest, err := m.CleanLeftovers()
	o.removed("%s", rest)
	return errors.Join(append(errs, err)...)
}

// resign tells the peers of each instance that was master here: whose addresses
// were all here with our mark, and are gone. That of any other may be one that
// another node holds. What fails costs the peers a master down interval, no more.
func (o CleanupOptions) resign(m *netif.Manager, removed map[string][]netip.Prefix) {
	if len(removed) == 0 {
		return
	}
	untold := func(whose string, err error) {
		o.Say(fmt.Sprintf("the peers of %s are not told, and take over when they have heard nothing for the master down interval: %v", whose, err))
	}
	instances, err := o.Instances()
	if err != nil {
		untold("these addresses", err)
		return
	}
	for _, c := range instances {
		if !wasMaster(c, removed) {
			continue
		}
		if err := resign(m, c); err != nil {
			untold(c.Name, err)
			continue
		}
		o.Say(fmt.Sprintf("told the peers of %s that it has no master here (priority 0)", c.Name))
	}
}

// resign tells the peers of an instance that was master here and is run by nobody.
func resign(m *netif.Manager, c vrrp.Config) error {
	l, err := m.Link(c.Interface)
	if err != nil {
		return err
	}
	return vrrp.Resign(c, linkState(l), listen)
}

// wasMaster says whether all that a master of c holds was removed.
func wasMaster(c vrrp.Config, removed map[string][]netip.Prefix) bool {
	all := c.All()
	return len(all) > 0 && !slices.ContainsFunc(all, func(a vrrp.Address) bool {
		return !slices.Contains(removed[c.AddressDevice(a)], a.Prefix)
	})
}

func (o CleanupOptions) removed(format string, what []string) {
	for _, w := range what {
		o.Say(fmt.Sprintf("removed "+format, w))
	}
}

// newNetif opens the kernel's network with the records of a director that has
// this runtime directory.
func newNetif(runtimeDir string) (*netif.Manager, error) {
	return netif.New(netif.Options{RecordFile: netif.RecordFile(runtimeDir), ParentsFile: filepath.Join(runtimeDir, "vmac-parents.json")})
}

// ipvs removes the services that are recorded as ours and takes the settings
// back.
func (o CleanupOptions) ipvs(ctx context.Context) error {
	_, noRecord := os.Stat(plan.OwnershipFile(o.StateDir))
	_, noSettings := os.Stat(settings.RecordFile(o.RuntimeDir))
	if errors.Is(noRecord, fs.ErrNotExist) && errors.Is(noSettings, fs.ErrNotExist) {
		return nil // no director ever had this state directory
	}
	kernel, err := ipvs.OpenKernel()
	if err != nil {
		return err // which says that IPVS could not be opened
	}
	defer kernel.Close()
	var errs []error
	if noRecord == nil {
		prog, err := newProgrammer(kernel, o.StateDir, 0, func(p pass) {
			for _, op := range p.res.Applied {
				o.Say("ran " + op.String())
			}
		})
		if err == nil {
			prog.change(nil) // nothing is wanted
			err = prog.once(ctx)
		}
		errs = append(errs, err)
	}
	if noSettings == nil {
		steward := newSteward(settings.On(kernel), o.RuntimeDir, 0, func(p settled) {
			for _, op := range p.res.Applied {
				o.Say("ran " + op.String())
			}
		})
		steward.set(conf.IPVS{})
		errs = append(errs, steward.once(ctx))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("clean up ipvs: %w", err)
	}
	return nil
}
