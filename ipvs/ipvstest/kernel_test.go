package ipvstest_test

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"

	"baton/ipvs"
	"baton/ipvs/ipvstest"
)

// TestErrnos: the fake answers as ip_vs_ctl.c does; the kernel tests of
// package ipvs hold the real one to the same.
func TestErrnos(t *testing.T) {
	const table = "-A -t 192.0.2.1:80 -s rr\n-a -t 192.0.2.1:80 -r 198.51.100.1:80"
	for command, want := range map[string]syscall.Errno{
		"-A -t 192.0.2.1:80 -s wlc":                                                          syscall.EEXIST,
		"-E -t 192.0.2.2:80 -s wlc":                                                          syscall.ESRCH,
		"-D -t 192.0.2.2:80":                                                                 syscall.ESRCH,
		"-a -t 192.0.2.2:80 -r 198.51.100.1:80":                                              syscall.ESRCH,
		"-a -t 192.0.2.1:80 -r 198.51.100.1:80":                                              syscall.EEXIST,
		"-e -t 192.0.2.1:80 -r 198.51.100.2:80":                                              syscall.ENOENT,
		"-d -t 192.0.2.1:80 -r 198.51.100.2:80":                                              syscall.ENOENT,
		"-e -t 192.0.2.1:80 -r 198.51.100.1:80 -w -1":                                        syscall.ERANGE,
		"-e -t 192.0.2.1:80 -r 198.51.100.1:80 -x 1 -y 2":                                    syscall.ERANGE,
		"-a -t 192.0.2.1:80 -r [2001:db8::1]:80 -g":                                          syscall.EINVAL,
		"-a -t 192.0.2.1:80 -r 198.51.100.3:80 -i --tun-type gue":                            syscall.EINVAL,
		"-A -t 192.0.2.2:80 -s twos":                                                         syscall.ENOENT,
		"-a -t 192.0.2.1:80 -r [2001:db8::1]:80 -i":                                          0,
		"--add-service --tcp-service 192.0.2.2:80 --scheduler rr --persistent 9 --netmask 8": 0,
	} {
		k := ipvstest.New(table)
		k.Missing = []string{"twos"}
		before := k.String()
		op, err := ipvstest.Parse(command)
		if err != nil {
			t.Fatal(err)
		}
		switch err := k.Apply(context.Background(), []ipvs.Op{op})[0]; {
		case want == 0 && (err != nil || k.String() == before || len(k.Commands()) != 1):
			t.Errorf("%s: %v\n%s", command, err, k)
		case want != 0 && (!errors.Is(err, want) || k.String() != before || k.Commands() != nil):
			t.Errorf("%s: %v, want %v and the table as it was\n%s", command, err, want, k)
		}
	}
}

func TestTableIsACopy(t *testing.T) {
	k := ipvstest.New("-A -t 192.0.2.1:80 -s rr\n-a -t 192.0.2.1:80 -r 198.51.100.1:80")
	for _, e := range k.Table() {
		clear(e.Servers)
	}
	if strings.Count(k.String(), "\n") != 2 {
		t.Errorf("the table lost a server:\n%s", k)
	}
}

func TestParseRefuses(t *testing.T) {
	for command, want := range map[string]string{
		"":                              "no command",
		"-A":                            "no service",
		"-A -t 192.0.2.1:80 -s":         `unexpected "-s"`,
		"-A -t 192.0.2.1:80 -z 1":       `unexpected "-z"`,
		"-A -t 192.0.2.1 -s rr":         "not an ip:port",
		"-A -t 192.0.2.1:80 -p x":       "-p x is not a number",
		"-A -t 192.0.2.1:80 -b sh-port": "scheduler wlc has no flags",
		"-a -t 192.0.2.1:80 -r x":       "not an ip:port",
	} {
		if op, err := ipvstest.Parse(command); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q became %s, error %v, want %q", command, op, err, want)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("New took a command that fails")
		}
	}()
	ipvstest.New("-D -t 192.0.2.1:80")
}

var _ ipvs.Kernel = (*ipvstest.Kernel)(nil)
