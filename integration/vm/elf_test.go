package vm

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// writeELF writes the smallest dynamic ELF file that names an interpreter, a
// search path and libraries.
func writeELF(t *testing.T, path, interp, runpath string, needed ...string) {
	t.Helper()
	strs := []byte{0}
	str := func(s string) uint64 {
		at := len(strs)
		strs = append(append(strs, s...), 0)
		return uint64(at)
	}
	var dyn []elf.Dyn64
	for _, n := range needed {
		dyn = append(dyn, elf.Dyn64{Tag: int64(elf.DT_NEEDED), Val: str(n)})
	}
	if runpath != "" {
		dyn = append(dyn, elf.Dyn64{Tag: int64(elf.DT_RUNPATH), Val: str(runpath)})
	}
	dyn = append(dyn, elf.Dyn64{})
	interpAt := uint64(64 + 56)
	strAt := interpAt + uint64(len(interp)+1)
	dynAt := strAt + uint64(len(strs))
	shAt := dynAt + uint64(16*len(dyn))
	head := elf.Header64{Type: uint16(elf.ET_DYN), Machine: uint16(elf.EM_X86_64), Version: 1,
		Phoff: 64, Shoff: shAt, Ehsize: 64, Phentsize: 56, Phnum: 1, Shentsize: 64, Shnum: 3, Shstrndx: 1}
	copy(head.Ident[:], "\x7fELF\x02\x01\x01")
	prog := elf.Prog64{Type: uint32(elf.PT_NULL), Off: interpAt, Filesz: uint64(len(interp) + 1)}
	if interp != "" {
		prog.Type = uint32(elf.PT_INTERP)
	}
	sections := []elf.Section64{{},
		{Type: uint32(elf.SHT_STRTAB), Off: strAt, Size: uint64(len(strs))},
		{Type: uint32(elf.SHT_DYNAMIC), Off: dynAt, Size: uint64(16 * len(dyn)), Link: 1, Entsize: 16}}
	var b bytes.Buffer
	for _, v := range []any{head, prog, append([]byte(interp), 0), strs, dyn, sections} {
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o755); err != nil {
		t.Fatal(err)
	}
}

const testInterp = "/lib64/ld-linux-x86-64.so.2"

func TestClosureFollowsLibrariesOfLibraries(t *testing.T) {
	root := t.TempDir()
	writeELF(t, root+"/usr/sbin/tool", testInterp, "", "libone.so.1", "libc.so.6")
	writeELF(t, root+testInterp, "", "")
	writeELF(t, root+"/usr/lib/x86_64-linux-gnu/libone.so.1", "", "", "libtwo.so.2", "libc.so.6")
	writeELF(t, root+"/lib/x86_64-linux-gnu/libtwo.so.2", "", "", "libone.so.1")
	writeELF(t, root+"/lib/x86_64-linux-gnu/libc.so.6", "", "")
	writeELF(t, root+"/usr/lib/x86_64-linux-gnu/libunused.so.1", "", "")
	got, err := Linker{Roots: []string{root}}.Closure(root + "/usr/sbin/tool")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"/lib/x86_64-linux-gnu/libc.so.6", "/lib/x86_64-linux-gnu/libtwo.so.2", testInterp,
		"/usr/lib/x86_64-linux-gnu/libone.so.1"}
	if keys := slices.Sorted(maps.Keys(got)); !slices.Equal(keys, want) {
		t.Errorf("closure is %v, want %v", keys, want)
	}
	if h := got[testInterp]; h != root+testInterp {
		t.Errorf("interpreter is %s", h)
	}
}

func TestClosureTakesTheFirstRootAndTheRunpath(t *testing.T) {
	unpacked, host := t.TempDir(), t.TempDir()
	writeELF(t, unpacked+"/usr/bin/tool", "", "$ORIGIN/../lib/tool", "libprivate.so", "libc.so.6", "libhost.so")
	writeELF(t, unpacked+"/usr/lib/tool/libprivate.so", "", "")
	writeELF(t, unpacked+"/usr/lib/x86_64-linux-gnu/libprivate.so", "", "") // another of the same name
	writeELF(t, unpacked+"/lib/x86_64-linux-gnu/libc.so.6", "", "")
	writeELF(t, host+"/lib/x86_64-linux-gnu/libc.so.6", "", "")
	writeELF(t, host+"/usr/lib64/libhost.so", "", "")
	got, err := Linker{Roots: []string{unpacked, host}}.Closure(unpacked + "/usr/bin/tool")
	if err != nil {
		t.Fatal(err)
	}
	for guest, want := range map[string]string{
		"/usr/lib/tool/libprivate.so":     unpacked,
		"/lib/x86_64-linux-gnu/libc.so.6": unpacked,
		"/usr/lib64/libhost.so":           host,
	} {
		if got[guest] != want+guest {
			t.Errorf("%s is %q, want the one in %s", guest, got[guest], want)
		}
	}
}

func TestClosureNamesTheMissingLibrary(t *testing.T) {
	root := t.TempDir()
	writeELF(t, root+"/tool", "", "", "libgone.so.3")
	_, err := Linker{Roots: []string{root}}.Closure(root + "/tool")
	if err == nil || !strings.Contains(err.Error(), "find library libgone.so.3 of "+root+"/tool") {
		t.Errorf("error is %v", err)
	}
}

func TestClosureOfWhatIsNotDynamicIsEmpty(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"script": "#!/bin/sh\nexit 0\n", "empty": "", "short": "\x7fELF"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
		if got, err := (Linker{}).Closure(filepath.Join(dir, name)); err != nil || len(got) != 0 {
			t.Errorf("%s: closure is %v, %v", name, got, err)
		}
	}
	writeELF(t, dir+"/static", "", "")
	if got, err := (Linker{}).Closure(dir + "/static"); err != nil || len(got) != 0 {
		t.Errorf("static: closure is %v, %v", got, err)
	}
	if _, err := (Linker{}).Closure(dir + "/gone"); err == nil {
		t.Error("a file that is not there has a closure")
	}
}
