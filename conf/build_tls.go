package conf

import (
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"baton/healthcheck"
)

// tls fills whom a check over TLS expects, and who it is itself.
func (c *checkBuilder) tls(at string, o, t *rawTLS) healthcheck.TLSSpec {
	verify := from(c, at+".SkipVerify", &o.Verify, &t.Verify)
	ca, cert, key := from(c, at+".CAFile", &o.CAFile, &t.CAFile), from(c, at+".CertFile", &o.CertFile, &t.CertFile), from(c, at+".KeyFile", &o.KeyFile, &t.KeyFile)
	s := healthcheck.TLSSpec{
		ServerName: from(c, at+".ServerName", &o.ServerName, &t.ServerName).v,
		SkipVerify: !verify.v,
		CAFile:     ca.v, CertFile: cert.v, KeyFile: key.v,
	}
	if ca.v != "" && c.absolute(ca) {
		if s.SkipVerify {
			c.b.errorf(ca.path(), "has no effect with verify = false").remedy("remove one of the two")
		} else {
			c.readable(ca, healthcheck.TLSSpec{CAFile: ca.v})
		}
	}
	switch {
	case cert.v == "" && key.v == "" || cert.bad || key.bad:
	case key.v == "":
		c.b.errorf(cert.path(), "needs its key").remedy(`add key_file = "/etc/baton/client.key"`)
	case cert.v == "":
		c.b.errorf(key.path(), "needs its certificate").remedy(`add cert_file = "/etc/baton/client.pem"`)
	case c.absolute(cert) && c.absolute(key):
		c.readable(cert, healthcheck.TLSSpec{CertFile: cert.v, KeyFile: key.v})
	}
	return s
}

// noTLS refuses keys of TLS in a check that speaks without.
func (c *checkBuilder) noTLS(o *rawTLS, with string) {
	for _, k := range []struct {
		set bool
		key interface{ path() string }
	}{{o.ServerName.set, &o.ServerName}, {o.Verify.set, &o.Verify}, {o.CAFile.set, &o.CAFile}, {o.CertFile.set, &o.CertFile}, {o.KeyFile.set, &o.KeyFile}} {
		if k.set {
			c.b.errorf(k.key.path(), "has no effect without TLS").remedy("add %s, or remove it", with)
		}
	}
}

func (c *checkBuilder) absolute(v *value[string]) bool {
	if filepath.IsAbs(v.v) {
		return true
	}
	c.b.errorf(v.path(), "%q is not an absolute path", clip(v.v)).remedy("begin it with /")
	return false
}

// readable warns of files that cannot be used here: the configuration may be
// checked on another machine than the one it is for.
func (c *checkBuilder) readable(key *value[string], files healthcheck.TLSSpec) {
	b := c.b
	if !b.disk {
		return
	}
	found, known := b.pem[files]
	if !known {
		found = unusable(files)
		b.pem[files] = found
	}
	if found != "" {
		b.warnf(key.path(), "%s cannot be used on this machine: %s", clip(key.v), found).
			remedy("put a PEM file there that prober_user can read")
	}
}

// unusable says what is wrong with the files.
func unusable(files healthcheck.TLSSpec) string {
	for _, name := range []string{files.CAFile, files.CertFile, files.KeyFile} {
		if name == "" {
			continue
		}
		switch fi, err := os.Stat(name); {
		case err != nil:
			return reason(err)
		case !fi.Mode().IsRegular():
			return errNotRegular.Error()
		}
	}
	found := ""
	for _, se := range faults(healthcheck.Validate(healthcheck.Spec{
		ID: "files", Kind: healthcheck.HTTPS, Target: netip.MustParseAddrPort("192.0.2.1:443"),
		Interval: time.Second, Timeout: time.Second,
		HTTP: &healthcheck.HTTPSpec{TLS: files},
	})) {
		found = se.Problem
	}
	return found
}
