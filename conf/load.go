package conf

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"strings"

	"baton/healthcheck"
)

// Load reads and parses a configuration file of at most 8 MiB. Its error is
// a [Problems] in every case: a file that cannot be read is a problem as well.
// For node see [Parse].
func Load(path, node string) (*Config, error) {
	data, err := readBounded(path)
	if err != nil {
		return nil, Problems{{
			Severity: SeverityError, File: path, Line: 1, Column: 1,
			Message: "the file cannot be read: " + reason(err), Remedy: remedyFor(err, path),
		}}
	}
	if cfg := inParts(path, data, node, true, partSize); cfg != nil {
		return cfg, nil
	}
	return parse(path, data, node, &decoder{disk: true})
}

// Reload is Load at the price of what differs from old, which was loaded for
// the same node: a virtual_server whose text has not changed is taken from it.
// What comes out, and what is found wrong, is what Load says. old may be nil.
func Reload(old *Config, path, node string) (*Config, error) {
	if data, err := readBounded(path); err == nil {
		if cfg := old.again(path, data, node, true); cfg != nil {
			return cfg, nil
		}
	}
	return Load(path, node)
}

var errNotRegular = errors.New("it is not a regular file")

// readBounded reads the file within the bound. Parse refuses what is above it.
func readBounded(path string) ([]byte, error) {
	// Asked before opening: opening a named pipe would wait for a writer.
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, errNotRegular
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data := bytes.NewBuffer(make([]byte, 0, min(fi.Size(), maxFileSize)+bytes.MinRead))
	_, err = data.ReadFrom(io.LimitReader(f, maxFileSize+1))
	return data.Bytes(), err
}

// reason is the error without the operation and path around it: the problem
// names the file already.
func reason(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

func remedyFor(err error, path string) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "create it, or name another with -c"
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("chmod u+r %s, or run as its owner", path)
	}
	return "name a TOML file with -c"
}

// Parse reads a configuration. name is how the file is called in problems.
// node says which node's values to choose where the file has one for each; if
// it is empty, router_id decides, else the host name up to its first dot.
//
// The error is a [Problems] with everything that is wrong, for this node and
// for every other node that the file serves. Warnings alone are no error: they
// are in the Config. Parse reads nothing but data; Load warns in addition of
// files that the configuration names and that are not there.
func Parse(name string, data []byte, node string) (*Config, error) {
	if cfg := inParts(name, data, node, false, partSize); cfg != nil {
		return cfg, nil
	}
	return parse(name, data, node, &decoder{})
}

func parse(name string, data []byte, node string, d *decoder) (*Config, error) {
	newDecoder(name, d)
	if len(data) > maxFileSize {
		d.index = newIndex(nil)
		d.syntaxRemedy(0, fmt.Sprintf("the file is larger than %d MiB", maxFileSize>>20), "this is hardly a configuration: check what -c names")
		return nil, d.sorted()
	}
	tree := d.parse(data)
	if tree == nil {
		return nil, d.sorted()
	}
	var raw rawFile
	d.table("", tree, reflect.ValueOf(&raw).Elem())
	if len(tree) == 0 && !d.recovered {
		d.syntaxRemedy(0, "the file configures nothing", "add a [[vrrp_instance]] or a [[virtual_server]]; examples/ has complete files")
	}
	cfg := d.resolve(&raw, node)
	alone := len(d.problems) == 0 && d.more == 0
	d.warnUnchecked(d.unchecked)
	problems := d.sorted()
	if len(problems.Errors()) > 0 {
		return nil, problems
	}
	cfg.File, cfg.Hash, cfg.Warnings = name, hashOf(data), problems
	if alone {
		if t, ok := textOf(data); ok {
			cfg.source = d.sourceOf(cfg, &raw, t.sum, t.sums, node)
		}
	}
	return cfg, nil
}

// newDecoder makes d ready for a file.
func newDecoder(name string, d *decoder) *decoder {
	d.file = name
	d.kept, d.told, d.alias, d.pem = map[Severity]int{}, map[string]bool{}, map[string]string{}, map[healthcheck.TLSSpec]string{}
	return d
}

func hashOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// warnUnchecked tells of real servers without a check: of ten thousand once.
func (d *decoder) warnUnchecked(paths []string) {
	if len(paths) == 0 {
		return
	}
	d.warnf(paths[0], "%s", uncheckedMessage(len(paths))).remedy(uncheckedRemedy)
}

const uncheckedRemedy = "add a tcp_check or http_get here or in the virtual_server"

func uncheckedMessage(n int) string {
	s := "has no health check: it stays in the pool whatever happens to it"
	if n > 1 {
		s += fmt.Sprintf("; so do %d more", n-1)
	}
	return s
}

func (d *decoder) sorted() Problems {
	out := make(Problems, len(d.problems))
	for i, p := range d.problems {
		out[i] = *p
	}
	return out.arranged(d.more)
}

// shortHostname is the host name up to its first dot, "localhost" without one.
func shortHostname() string {
	h, err := os.Hostname()
	if err != nil || h == "" {
		return "localhost"
	}
	h, _, _ = strings.Cut(h, ".")
	return h
}
