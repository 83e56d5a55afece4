package vm

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cavaliergopher/cpio"
)

type member struct {
	mode cpio.FileMode
	body string
}

// list reads an archive back and holds it against what the kernel needs: each
// path once, every directory before what is in it.
func list(t *testing.T, archive []byte) map[string]member {
	t.Helper()
	members := map[string]member{}
	for r := cpio.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return members
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if h.Linkname != "" {
			body = []byte(h.Linkname)
		}
		if _, twice := members[h.Name]; twice {
			t.Errorf("%s stands twice", h.Name)
		}
		if d := path.Dir(h.Name); d != "." && members[d].mode&cpio.ModeType != cpio.TypeDir {
			t.Errorf("%s stands before its directory", h.Name)
		}
		members[h.Name] = member{h.Mode, string(body)}
	}
}

func archive(t *testing.T, linker Linker, add func(a *Initramfs) error) map[string]member {
	t.Helper()
	var b bytes.Buffer
	a, err := NewInitramfs(&b, linker)
	if err != nil {
		t.Fatal(err)
	}
	if err := add(a); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	return list(t, b.Bytes())
}

func TestInitramfsMergesUsrAndKeepsTheFirst(t *testing.T) {
	got := archive(t, Linker{}, func(a *Initramfs) error {
		for _, err := range []error{
			a.Data("/sbin/tool", 0o755, "first"),
			a.Data("/usr/sbin/tool", 0o644, "second"),
			a.Dir("/tmp", 0o777|fs.ModeSticky),
			a.Link("/var/run", "../run"),
		} {
			if err != nil {
				return err
			}
		}
		return nil
	})
	for name, want := range map[string]member{
		"sbin":          {cpio.TypeSymlink | 0o777, "usr/sbin"},
		"usr/sbin/tool": {cpio.TypeReg | 0o755, "first"},
		"tmp":           {cpio.TypeDir | 0o1777, ""},
		"var/run":       {cpio.TypeSymlink | 0o777, "../run"},
	} {
		if got[name] != want {
			t.Errorf("%s is %v %q, want %v %q", name, got[name].mode, got[name].body, want.mode, want.body)
		}
	}
	if _, ok := got["sbin/tool"]; ok {
		t.Error("sbin/tool stands behind a link")
	}
}

func TestInitramfsAddsATreeWithoutWhatIsSkipped(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"ipvs/testdata/plan.golden": "golden", "bin/baton": "built", ".git/HEAD": "ref", "vrrp/bin/x": "kept", "a.test": "built",
	} {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("ipvs", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	got := archive(t, Linker{}, func(a *Initramfs) error { return a.Add(SourceTree(dir)) })
	if m := got["src/ipvs/testdata/plan.golden"]; m.body != "golden" || m.mode != cpio.TypeReg|0o640 {
		t.Errorf("golden file is %v %q", m.mode, m.body)
	}
	if m := got["src/link"]; m.mode&cpio.ModeType != cpio.TypeSymlink || m.body != "ipvs" {
		t.Errorf("link is %v %q", m.mode, m.body)
	}
	if got["src/vrrp/bin/x"].body != "kept" {
		t.Error("a package's own directory bin is missing")
	}
	for name := range got {
		if strings.Contains(name, ".git") || name == "src/bin/baton" || strings.HasSuffix(name, ".test") {
			t.Errorf("%s is not of the repository", name)
		}
	}
}

func TestInitramfsBringsAProgramsLibraries(t *testing.T) {
	root := t.TempDir()
	writeELF(t, root+"/usr/sbin/tool", testInterp, "", "libone.so.1")
	writeELF(t, root+testInterp, "", "")
	writeELF(t, root+"/lib/x86_64-linux-gnu/libone.so.1", "", "")
	got := archive(t, Linker{Roots: []string{root}}, func(a *Initramfs) error {
		return a.Add(File{Host: root + "/usr/sbin/tool", Guest: "/usr/bin/tool"})
	})
	for _, name := range []string{"usr/bin/tool", "usr" + testInterp, "usr/lib/x86_64-linux-gnu/libone.so.1"} {
		if got[name].mode != cpio.TypeReg|0o755 {
			t.Errorf("%s has mode %v, want an executable", name, got[name].mode)
		}
	}
}

func TestInitramfsNamesTheMissingFile(t *testing.T) {
	a, err := NewInitramfs(io.Discard, Linker{})
	if err != nil {
		t.Fatal(err)
	}
	err = a.Add(File{Host: "/no/such/baton", Guest: "/bin/baton"})
	if err == nil || !strings.Contains(err.Error(), "/no/such/baton") {
		t.Errorf("error is %v", err)
	}
}
