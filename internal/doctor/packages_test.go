package doctor

import "testing"

func TestPackager(t *testing.T) {
	for text, want := range map[string]string{
		"NAME=x\nID=debian\n":                          "apt-get",
		"ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n":    "apt-get",
		"ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"": "dnf",
		"ID=fedora\n": "dnf",
		"ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n": "zypper",
		"ID=alpine\nVARIANT_ID=debian\n":                    "",
	} {
		if got := packager(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
