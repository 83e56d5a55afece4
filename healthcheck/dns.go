package healthcheck

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// maxStray bounds the datagrams of a server that are no answer to what was
// asked.
const maxStray = 64

// question is what a dns check asks and wants to hear.
type question struct {
	msg    *dns.Msg
	rcodes []int
	answer []dns.RR // whose names and TTLs do not matter
}

// newDNS returns the checker of kind dns.
func newDNS(b *builder) Checker {
	s := DNSSpec{}
	if b.spec.DNS != nil {
		s = *b.spec.DNS
	}
	q := s.question(b)
	d := b.dialog(datagram)
	if s.TCP {
		d = b.dialog(stream)
	}
	d.await = true
	if q == nil {
		return d
	}
	raw, err := q.msg.Pack()
	if err != nil {
		b.problem("DNS", "mend the question", "%v", err)
		return d
	}
	if s.TCP {
		d.opening = append(binary.BigEndian.AppendUint16(nil, uint16(len(raw))), raw...)
		d.talk = func(c net.Conn) error { return q.stream(c) }
	} else {
		d.opening = raw
		d.talk = func(c net.Conn) error { return q.datagrams(c) }
	}
	return d
}

// question returns what the spec asks, nil when it cannot be asked.
func (s *DNSSpec) question(b *builder) *question {
	before := len(b.problems)
	name := s.Name
	if name == "" {
		name = "."
	}
	if _, ok := dns.IsDomainName(name); !ok {
		b.problem("DNS.Name", "use letters, digits, hyphens and dots, up to 255 bytes", "%.60q is not a domain name", name)
	}
	kind := strings.ToUpper(s.Type)
	if kind == "" {
		kind = "SOA"
	}
	typ, ok := dns.StringToType[kind]
	if n, found := strings.CutPrefix(kind, "TYPE"); !ok && found {
		v, err := strconv.ParseUint(n, 10, 16)
		typ, ok = uint16(v), err == nil
	}
	if !ok || typ == dns.TypeNone || typ == dns.TypeAXFR || typ == dns.TypeIXFR || typ == dns.TypeOPT {
		b.problem("DNS.Type", "use SOA, A, AAAA, NS, MX, TXT, SRV or another type of record, or TYPE and its number", "%.20q is not a type to ask for", s.Type)
	}
	q := &question{msg: new(dns.Msg)}
	for _, word := range s.RCode {
		code, ok := dns.StringToRcode[strings.ToUpper(word)]
		if !ok || code > 15 {
			b.problem("DNS.RCode", "use NOERROR, NXDOMAIN, REFUSED or another one of RFC 1035 and RFC 2136", "%.20q is not a response code", word)
		}
		q.rcodes = append(q.rcodes, code)
	}
	if len(q.rcodes) == 0 {
		q.rcodes = []int{dns.RcodeSuccess}
	}
	for _, data := range s.Answer {
		var rr dns.RR
		var err error
		if ok {
			rr, err = dns.NewRR(fmt.Sprintf(". IN %s %s", kind, data))
		}
		if err != nil || rr == nil && ok || strings.ContainsAny(data, "\n\r") {
			b.problem("DNS.Answer", "write it as in a zone file, names with a dot at the end", "%.60q is not the data of a record of type %s", data, kind)
			continue
		}
		q.answer = append(q.answer, rr)
	}
	if len(b.problems) > before {
		return nil
	}
	q.msg.SetQuestion(dns.Fqdn(name), typ)
	q.msg.Id = uint16(rand.N(1 << 16))
	return q
}

// datagrams reads answers until one is to our question.
func (q *question) datagrams(c io.Reader) error {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for range maxStray {
		n, err := c.Read(*buf)
		if err != nil && err != io.EOF { // an empty datagram looks like an end
			return fmt.Errorf("wait for an answer: %w", err)
		}
		ours, err := q.judge((*buf)[:n])
		if ours || err != nil {
			return err
		}
	}
	return failure(Protocol, "more than %d answers to other questions", maxStray)
}

// stream reads the one answer of a TCP connection.
func (q *question) stream(c io.Reader) error {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	var length [2]byte
	if _, err := io.ReadFull(c, length[:]); err != nil {
		return cutShort("answer", err)
	}
	raw := (*buf)[:binary.BigEndian.Uint16(length[:])]
	if _, err := io.ReadFull(c, raw); err != nil {
		return cutShort("answer", err)
	}
	ours, err := q.judge(raw)
	if err == nil && !ours {
		return failure(Protocol, "the answer is to another question")
	}
	return err
}

// cutShort says why what could not be read.
func cutShort(what string, err error) error {
	if cut(err) {
		return failure(Protocol, "the connection was closed before the %s's end", what)
	}
	return fmt.Errorf("read %s: %w", what, err)
}

// judge decides about a message. ours: it answers our question.
func (q *question) judge(raw []byte) (ours bool, err error) {
	var m dns.Msg
	if err := m.Unpack(raw); err != nil {
		return false, failure(Protocol, "the answer is no DNS message: %v", err)
	}
	if !m.Response || m.Id != q.msg.Id || !q.repeats(m.Question) {
		return false, nil
	}
	if !slices.Contains(q.rcodes, m.Rcode) {
		var wanted []string
		for _, c := range q.rcodes {
			wanted = append(wanted, dns.RcodeToString[c])
		}
		return true, failure(DNSAnswer, "response code %s, wanted %s", rcodeName(m.Rcode), strings.Join(wanted, ", "))
	}
	for _, want := range q.answer {
		if slices.ContainsFunc(m.Answer, func(got dns.RR) bool { return sameData(got, want) }) {
			continue
		}
		if m.Truncated {
			return true, failure(DNSAnswer, "the answer is truncated and its part has no %.60q: ask over TCP", data(want))
		}
		return true, failure(DNSAnswer, "no %s %.60q among %d records", dns.Type(want.Header().Rrtype), data(want), len(m.Answer))
	}
	return true, nil
}

// repeats: the question must come back, except that of a server that could
// not read it.
func (q *question) repeats(got []dns.Question) bool {
	if len(got) != 1 {
		return len(got) == 0 && !slices.Contains(q.rcodes, dns.RcodeSuccess)
	}
	want := q.msg.Question[0]
	return strings.EqualFold(got[0].Name, want.Name) && got[0].Qtype == want.Qtype && got[0].Qclass == want.Qclass
}

func rcodeName(code int) string {
	if s := dns.RcodeToString[code]; s != "" {
		return s
	}
	return strconv.Itoa(code)
}

// sameData compares records by type and data: an answer may stand under the
// name that a CNAME leads to.
func sameData(got, want dns.RR) bool {
	if got.Header().Rrtype != want.Header().Rrtype || got.Header().Class != want.Header().Class {
		return false
	}
	c := dns.Copy(got)
	c.Header().Name = want.Header().Name
	return dns.IsDuplicate(c, want)
}

// data is a record without what stands in front of it.
func data(rr dns.RR) string { return strings.TrimPrefix(rr.String(), rr.Header().String()) }
