package ipvs

import (
	"fmt"
	"strings"
	"time"
)

// OpKind is what an operation does. Plans are in this order.
type OpKind uint8

// The operations.
const (
	AddService OpKind = iota
	AddServer
	UpdateServer
	UpdateService
	DeleteServer
	DeleteService // with all its servers
)

var opNames = [...]string{"add service", "add server", "update server", "update service", "delete server", "delete service"}

// ofServer says whether it is a server that comes, goes or changes, not its service.
func (k OpKind) ofServer() bool { return k == AddServer || k == UpdateServer || k == DeleteServer }

// String returns "add service" and so on.
func (k OpKind) String() string {
	if int(k) < len(opNames) {
		return opNames[k]
	}
	return fmt.Sprintf("operation %d", uint8(k))
}

// Op is one change of the kernel's table.
type Op struct {
	Kind       OpKind
	Service    Service  // only Key in operations on servers and in DeleteService
	Server     Server   // of operations on servers; only Key in DeleteServer
	WasService *Service // what UpdateService and DeleteService find in the kernel, else nil
	WasServer  *Server  // what UpdateServer and DeleteServer find in the kernel, else nil
}

// Object names what the operation is about: "tcp 192.168.16.200:80", and
// behind it the real server in operations on one.
func (o Op) Object() string {
	switch o.Kind {
	case AddServer, UpdateServer, DeleteServer:
		return o.Service.Key.String() + " " + o.Server.Key.String()
	}
	return o.Service.Key.String()
}

// mixed says whether the operation is on a server of another family than its service.
func (o Op) mixed() bool {
	return o.Server.Key.Address.IsValid() && familyOf(o.Server.Key.Address) != o.Service.Key.AF()
}

// Changes says what an update changes, such as "weight 1 -> 3"; it is nil for
// every other operation.
func (o Op) Changes() []string {
	var c []string
	differ := func(name string, was, is any) {
		if was != is {
			c = append(c, fmt.Sprintf("%s %v -> %v", name, was, is))
		}
	}
	switch {
	case o.Kind == UpdateService && o.WasService != nil:
		was, is, f := o.WasService, o.Service, o.Service.Key.AF()
		differ("scheduler", was.Scheduler, is.Scheduler)
		differ("flags", flagList(*was), flagList(is))
		differ("ops", was.OnePacket, is.OnePacket)
		differ("persistence", was.Persistence, is.Persistence)
		differ("mask", was.PersistenceMask.Format(f), is.PersistenceMask.Format(f))
		differ("engine", orNone(was.PersistenceEngine), orNone(is.PersistenceEngine))
	case o.Kind == UpdateServer && o.WasServer != nil:
		was, is := o.WasServer, o.Server
		differ("weight", was.Weight, is.Weight)
		differ("forward", was.Forward, is.Forward)
		differ("tunnel", was.Tunnel, is.Tunnel)
		differ("upper threshold", was.UpperThreshold, is.UpperThreshold)
		differ("lower threshold", was.LowerThreshold, is.LowerThreshold)
	}
	return c
}

func flagList(s Service) string {
	return orNone(strings.Join(s.SchedFlags.Names(s.Scheduler), ","))
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// String returns the operation as an ipvsadm(8) command line that can be
// pasted into a shell or fed to ipvsadm -R, hence without quotes. It validates
// nothing.
func (o Op) String() string {
	var b strings.Builder
	b.WriteString("ipvsadm ")
	switch o.Kind {
	case AddService:
		b.WriteString("-A ")
		writeService(&b, o.Service)
	case UpdateService:
		b.WriteString("-E ")
		writeService(&b, o.Service)
	case DeleteService:
		b.WriteString("-D ")
		writeKey(&b, o.Service.Key)
	case AddServer:
		b.WriteString("-a ")
		writeKey(&b, o.Service.Key)
		writeServer(&b, o.Server)
	case UpdateServer:
		b.WriteString("-e ")
		writeKey(&b, o.Service.Key)
		writeServer(&b, o.Server)
	case DeleteServer:
		b.WriteString("-d ")
		writeKey(&b, o.Service.Key)
		fmt.Fprintf(&b, " -r %s", o.Server.Key)
	}
	return b.String()
}

func writeKey(b *strings.Builder, k ServiceKey) {
	at := ServerKey{k.Address, k.Port}
	switch {
	case k.FWMark != 0 && k.Family == IPv6:
		fmt.Fprintf(b, "-f %d -6", k.FWMark)
	case k.FWMark != 0:
		fmt.Fprintf(b, "-f %d", k.FWMark)
	case k.Protocol == TCP:
		fmt.Fprintf(b, "-t %s", at)
	case k.Protocol == UDP:
		fmt.Fprintf(b, "-u %s", at)
	default:
		fmt.Fprintf(b, "--%s-service %s", k.Protocol, at)
	}
}

// writeService prints -s before -b: ipvsadm reads the flags in the light of the scheduler.
func writeService(b *strings.Builder, s Service) {
	writeKey(b, s.Key)
	fmt.Fprintf(b, " -s %s", s.Scheduler)
	if s.OnePacket {
		b.WriteString(" -o")
	}
	if s.Persistence > 0 {
		fmt.Fprintf(b, " -p %d", s.Persistence/time.Second)
		if s.PersistenceMask != 0 {
			fmt.Fprintf(b, " -M %s", s.PersistenceMask.Format(s.Key.AF()))
		}
	}
	if s.PersistenceEngine != "" {
		fmt.Fprintf(b, " --pe %s", s.PersistenceEngine)
	}
	if names := s.SchedFlags.Names(s.Scheduler); names != nil {
		fmt.Fprintf(b, " -b %s", strings.Join(names, ","))
	}
}

// writeServer prints the weight always: ipvsadm's -e would set what is not given to 1.
func writeServer(b *strings.Builder, s Server) {
	method := "-g"
	switch s.Forward {
	case NAT:
		method = "-m"
	case TUN:
		method = "-i"
	}
	fmt.Fprintf(b, " -r %s %s -w %d", s.Key, method, s.Weight)
	if s.UpperThreshold != 0 {
		fmt.Fprintf(b, " -x %d", s.UpperThreshold)
	}
	if s.LowerThreshold != 0 {
		fmt.Fprintf(b, " -y %d", s.LowerThreshold)
	}
	if s.Forward != TUN || s.Tunnel == (Tunnel{}) {
		return
	}
	fmt.Fprintf(b, " --tun-type %s", s.Tunnel.Type)
	if s.Tunnel.Port != 0 {
		fmt.Fprintf(b, " --tun-port %d", s.Tunnel.Port)
	}
	if s.Tunnel.Flags&TunnelChecksum != 0 {
		b.WriteString(" --tun-csum")
	}
	if s.Tunnel.Flags&TunnelRemoteChecksum != 0 {
		b.WriteString(" --tun-remcsum")
	}
}
