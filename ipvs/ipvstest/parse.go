package ipvstest

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"baton/ipvs"
)

// options are the words of one command line before they are understood:
// -M needs the family that -6, further on, may change, -b the scheduler.
type options struct {
	command string
	value   map[string]string
	given   map[string]bool
}

var aliases = map[string]string{
	"--add-service": "-A", "--edit-service": "-E", "--delete-service": "-D",
	"--add-server": "-a", "--edit-server": "-e", "--delete-server": "-d",
	"--tcp-service": "-t", "--udp-service": "-u", "--fwmark-service": "-f", "--ipv6": "-6",
	"--scheduler": "-s", "--persistent": "-p", "--netmask": "-M", "--ops": "-o", "--sched-flags": "-b",
	"--real-server": "-r", "--gatewaying": "-g", "--ipip": "-i", "--masquerading": "-m",
	"--weight": "-w", "--u-threshold": "-x", "--l-threshold": "-y",
}

const (
	commands   = " -A -E -D -a -e -d "
	withValue  = " -t -u --sctp-service -f -s -p -M -b --pe -r -w -x -y --tun-type --tun-port "
	standAlone = " -6 -o -g -i -m --tun-csum --tun-nocsum --tun-remcsum "
)

func isOneOf(list, word string) bool { return strings.Contains(list, " "+word+" ") }

func split(line string) (options, error) {
	o := options{value: map[string]string{}, given: map[string]bool{}}
	word := strings.Fields(line)
	if len(word) > 0 && word[0] == "ipvsadm" {
		word = word[1:]
	}
	for i := 0; i < len(word); i++ {
		w := word[i]
		if a, ok := aliases[w]; ok {
			w = a
		}
		switch {
		case isOneOf(commands, w) && o.command == "":
			o.command = w
		case isOneOf(standAlone, w):
			o.given[w] = true
		case isOneOf(withValue, w) && i+1 < len(word):
			o.given[w], o.value[w] = true, word[i+1]
			i++
		default:
			return o, fmt.Errorf("unexpected %q", word[i])
		}
	}
	if o.command == "" {
		return o, errors.New("no command")
	}
	return o, nil
}

// Parse reads one ipvsadm(8) command line, with or without the program's name
// before it, numeric as ipvsadm -Sn prints it.
func Parse(line string) (ipvs.Op, error) {
	o, err := split(line)
	if err != nil {
		return ipvs.Op{}, fmt.Errorf("parse %q: %w", line, err)
	}
	kind := map[string]ipvs.OpKind{
		"-A": ipvs.AddService, "-E": ipvs.UpdateService, "-D": ipvs.DeleteService,
		"-a": ipvs.AddServer, "-e": ipvs.UpdateServer, "-d": ipvs.DeleteServer,
	}[o.command]
	op := ipvs.Op{Kind: kind}
	op.Service.Key, err = o.serviceKey()
	if err == nil {
		switch kind {
		case ipvs.AddService, ipvs.UpdateService:
			err = o.service(&op.Service)
		case ipvs.AddServer, ipvs.UpdateServer:
			op.Server, err = o.server()
		case ipvs.DeleteServer:
			op.Server.Key, err = o.serverKey()
		}
	}
	if err != nil {
		return ipvs.Op{}, fmt.Errorf("parse %q: %w", line, err)
	}
	return op, nil
}

func (o options) number(name string, fallback int) (int, error) {
	v, ok := o.value[name]
	if !ok {
		return fallback, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		return 0, fmt.Errorf("%s %s is not a number", name, v)
	}
	return n, nil
}

func (o options) serviceKey() (ipvs.ServiceKey, error) {
	for name, p := range map[string]ipvs.Protocol{"-t": ipvs.TCP, "-u": ipvs.UDP, "--sctp-service": ipvs.SCTP} {
		if v, ok := o.value[name]; ok {
			at, err := netip.ParseAddrPort(v)
			return ipvs.AddressKey(p, at), err
		}
	}
	mark, err := o.number("-f", 0)
	if err == nil && mark <= 0 {
		err = errors.New("no service")
	}
	f := ipvs.IPv4
	if o.given["-6"] {
		f = ipvs.IPv6
	}
	return ipvs.FWMarkKey(uint32(mark), f), err
}

func (o options) service(s *ipvs.Service) error {
	s.Scheduler = "wlc"
	if v, ok := o.value["-s"]; ok {
		s.Scheduler = v
	}
	s.OnePacket = o.given["-o"]
	s.PersistenceEngine = o.value["--pe"]
	seconds, err := o.number("-p", 0)
	if err != nil {
		return err
	}
	s.Persistence = time.Duration(seconds) * time.Second
	if v, ok := o.value["-M"]; ok {
		if s.PersistenceMask, err = ipvs.ParseMask(s.Key.AF(), v); err != nil {
			return err
		}
	}
	if v, ok := o.value["-b"]; ok {
		for name := range strings.SplitSeq(v, ",") {
			f, err := ipvs.ParseSchedFlag(s.Scheduler, name)
			if err != nil {
				return err
			}
			s.SchedFlags |= f
		}
	}
	return nil
}

func (o options) serverKey() (ipvs.ServerKey, error) {
	at, err := netip.ParseAddrPort(o.value["-r"])
	return ipvs.MakeServerKey(at), err
}

func (o options) server() (s ipvs.Server, err error) {
	if s.Key, err = o.serverKey(); err != nil {
		return s, err
	}
	s.Forward = ipvs.DR
	switch {
	case o.given["-m"]:
		s.Forward = ipvs.NAT
	case o.given["-i"]:
		s.Forward = ipvs.TUN
	}
	if v, ok := o.value["--tun-type"]; ok {
		if s.Tunnel.Type, err = ipvs.ParseTunnelType(v); err != nil {
			return s, err
		}
	}
	if o.given["--tun-csum"] {
		s.Tunnel.Flags |= ipvs.TunnelChecksum
	}
	if o.given["--tun-remcsum"] {
		s.Tunnel.Flags |= ipvs.TunnelRemoteChecksum
	}
	port, err1 := o.number("--tun-port", 0)
	weight, err2 := o.number("-w", 1)
	upper, err3 := o.number("-x", 0)
	lower, err4 := o.number("-y", 0)
	s.Tunnel.Port, s.Weight = uint16(port), weight
	s.UpperThreshold, s.LowerThreshold = uint32(upper), uint32(lower)
	return s, errors.Join(err1, err2, err3, err4)
}
