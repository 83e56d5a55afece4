package vm

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Tools are the programs that tests and drills call as judges and peers, by
// the Debian package that has them.
var Tools = map[string]string{
	"ip": "iproute2", "tc": "iproute2", "bridge": "iproute2", "ss": "iproute2",
	"ipvsadm": "ipvsadm", "keepalived": "keepalived", "nft": "nftables",
	"dpkg": "dpkg", "dpkg-deb": "dpkg", "dpkg-split": "dpkg", "tar": "tar", "rpm": "rpm", "rpmkeys": "rpm",
	"systemctl": "systemd", "systemd-analyze": "systemd", "systemd-sysusers": "systemd", "journalctl": "systemd",
	"dnsmasq": "dnsmasq-base", "nginx": "nginx", "smtpd": "opensmtpd", "tcpdump": "tcpdump",
}

// toolFiles are what Tools load or start by themselves, files and trees, where
// Debian has it: systemd, with its units, does not lie in PATH.
var toolFiles = []string{
	"/usr/lib/nginx/modules/ngx_mail_module.so",
	"/lib/systemd/systemd", "/lib/systemd/systemd-journald", "/lib/systemd/system",
	"/usr/lib/rpm/macros", "/usr/lib/rpm/platform", "/usr/lib/rpm/rpmrc",
}

// toolFlags stand in for what a package's installation would have done: the
// user to whom tcpdump drops its privileges.
var toolFlags = map[string]string{"tcpdump": "-Z root"}

// missingTools returns a directory with those Tools that this machine lacks,
// nothing if it has them all: scripts that call the unpacked package's program
// with its own libraries.
func missingTools(ctx context.Context, progress func(string)) ([]string, error) {
	var missing []string
	for name := range Tools {
		if _, err := exec.LookPath(name); err == nil {
			continue
		}
		if _, err := findProgram(name, "/"); err != nil {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil, nil
	}
	u, err := guestBundle(defaultPackage).Fetch(ctx, progress)
	if err != nil {
		return nil, fmt.Errorf("find %v: %w", missing, err)
	}
	dir, err := cached(ctx, "tools-"+filepath.Base(filepath.Dir(u.Root)), func(dir string) error {
		for name := range Tools {
			p, err := findProgram(name, u.Root)
			if err != nil {
				return err
			}
			script := fmt.Sprintf("#!/bin/sh\nLD_LIBRARY_PATH='%s' RPM_CONFIGDIR='%s/usr/lib/rpm' exec '%s' %s \"$@\"\n", libraryPath(u.Root), u.Root, p, toolFlags[name])
			if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return []string{dir}, nil
}
