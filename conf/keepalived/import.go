package keepalived

import (
	"errors"
	"fmt"
	"strings"

	"baton/conf"
)

// Doubt is something of the file that the result does not say, or not quite.
type Doubt struct {
	File    string
	Line    int    // 0: of the whole
	About   string // the block and the word
	Message string
}

// String is the doubt on one line.
func (d Doubt) String() string {
	at := d.File
	if d.Line > 0 {
		at = fmt.Sprintf("%s:%d", d.File, d.Line)
	}
	return at + ": " + d.About + ": " + d.Message
}

// Result is what has become of a configuration.
type Result struct {
	TOML   []byte
	Doubts []Doubt
	// Problems are what Baton refuses in TOML, which is to be mended by hand.
	Problems conf.Problems
}

// importer is one reading of a configuration.
type importer struct {
	out        table
	file       string
	doubts     []Doubt
	about      string         // the block that is read
	block      []*statement   // of the virtual_server that is read
	defaults   serverDefaults // of the real_server that is read
	scripts    bool           // there is a command
	trackFiles map[string]string
}

// Import reads a configuration and all that it includes: 8 MiB and 256 files at most. The
// error says what cannot be read, with file and line; no result then.
func Import(path string) (*Result, error) {
	im, r := begin(path)
	all, err := r.file(path, 0)
	if err != nil {
		return nil, err
	}
	return im.result(all), nil
}

func begin(path string) (*importer, *reader) {
	im := &importer{file: path, trackFiles: map[string]string{}}
	return im, &reader{variables: map[string]string{}, doubt: im.note}
}

// note adds a doubt.
func (im *importer) note(file string, line int, about, message string) {
	im.doubts = append(im.doubts, Doubt{file, line, about, message})
}

// doubt is one of a statement.
func (im *importer) doubt(s *statement, message string) {
	about := s.name()
	if im.about != "" {
		about = im.about + ": " + about
	}
	im.note(s.file, s.line, about, message)
}

func (im *importer) result(all []*statement) *Result {
	global := im.out.add("global", false)
	global.set("vrrp_version", "2") // keepalived's
	for _, s := range all {         // what others refer to
		switch s.name() {
		case "track_file", "vrrp_track_file":
			for _, c := range s.block {
				if c.name() == "file" {
					im.trackFiles[s.arg(0)] = c.arg(0)
				}
			}
		case "global_defs":
			im.apply(global, s.block, globalWords, "global_defs")
		}
	}
	im.apply(&im.out, all, blocks, "")
	if im.scripts && !global.has("script_user") {
		im.note(im.file, 0, "script_user", "scripts run as prober_user, which is baton or nobody; keepalived runs them as keepalived_script or root (script_user in [global] says who)")
	}
	var b strings.Builder
	im.out.write(&b, "")
	res := &Result{TOML: []byte(b.String()), Doubts: im.doubts}
	if _, err := conf.Parse("baton.toml", res.TOML, ""); err != nil {
		errors.As(err, &res.Problems)
	}
	return res
}

// blocks are the words outside of all blocks.
var blocks keywords

func init() {
	system := left("it is there without Baton too, so it belongs into the system's network configuration")
	blocks = with(keywords{
		"global_defs":              silent, // has been read
		"vrrp_instance":            (*importer).instance,
		"vrrp_sync_group":          (*importer).syncGroup,
		"vrrp_script":              (*importer).script,
		"vrrp_track_file":          (*importer).trackFile,
		"track_file":               (*importer).trackFile,
		"vrrp_track_process":       (*importer).trackProcess,
		"track_process":            (*importer).trackProcess,
		"virtual_server_group":     (*importer).serverGroup,
		"virtual_server":           (*importer).service,
		"bfd_instance":             left("Baton has no BFD (track a script or an interface)"),
		"garp_group":               left("garp_interval of an instance and vrrp_garp_interval in [global] hold for each interface"),
		"net_namespace":            left("start Baton in the namespace, as with NetworkNamespacePath= of systemd"),
		"instance":                 left("a configuration directory or a namespace of its own tells instances apart"),
		"interface_up_down_delays": left("track_interface has no delays"),
	}, each(system, "static_ipaddress", "static_routes", "static_rules", "static_track_group", "linkbeat_interfaces"))
}
