package doctor

import (
	"os"
	"slices"
	"strings"
)

// packager says by which program a distribution installs packages, by the words of
// its os-release(5); "" where it is not known.
func packager(osRelease string) string {
	var words []string
	for line := range strings.Lines(osRelease) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if key == "ID" || key == "ID_LIKE" {
			words = append(words, strings.Fields(strings.Trim(value, `"'`))...)
		}
	}
	for _, by := range []struct {
		program string
		of      []string
	}{{"apt-get", []string{"debian", "ubuntu"}}, {"dnf", []string{"fedora", "rhel", "centos"}}, {"zypper", []string{"suse", "opensuse"}}} {
		if slices.ContainsFunc(by.of, func(id string) bool { return slices.Contains(words, id) }) {
			return by.program
		}
	}
	return ""
}

func readPackager() string {
	text, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return ""
	}
	return packager(string(text))
}

// kernelPackage brings a kernel with all modules; Debian's cloud kernel has IPVS,
// some providers' own kernels do not. Where it is not known the command only shows
// what is there.
func (e *examination) kernelPackage() string {
	switch e.f.Packager {
	case "apt-get":
		return "apt-get install linux-image-$(dpkg --print-architecture)"
	case "dnf":
		return "dnf install kernel kernel-modules"
	case "zypper":
		return "zypper install kernel-default"
	}
	return "ls /lib/modules"
}

// nftPackage brings nft, which has one name everywhere.
func (e *examination) nftPackage() string {
	if e.f.Packager == "" {
		return "command -v nft iptables-save"
	}
	return e.f.Packager + " install nftables"
}

// bootWithIPv6 takes the kernel's parameter away where the boot loader has it from.
func (e *examination) bootWithIPv6() string {
	switch e.f.Packager {
	case "apt-get":
		return "grep -o 'ipv6.disable=[^ ]*' /proc/cmdline; sed -i 's/ *ipv6.disable=1//' /etc/default/grub && update-grub && reboot"
	case "dnf":
		return "grubby --update-kernel=ALL --remove-args=ipv6.disable=1 && reboot"
	}
	return "grep -o 'ipv6.disable=[^ ]*' /proc/cmdline"
}
