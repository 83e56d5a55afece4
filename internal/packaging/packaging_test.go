package packaging

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"baton/conf"
)

// What a fresh installation has does nothing; what stands in it as a beginning
// is a configuration that works.
func TestDefaultConfiguration(t *testing.T) {
	fresh, err := conf.Load("baton.toml", "lvs-a")
	if err != nil || len(fresh.Instances)+len(fresh.Services) > 0 {
		t.Fatalf("the default configuration is %+v, %v, want one of nothing", fresh, err)
	}
	raw, err := os.ReadFile("baton.toml")
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(raw), "[global]\n")
	name := filepath.Join(t.TempDir(), "baton.toml")
	if err := os.WriteFile(name, []byte("[global]\n"+strings.ReplaceAll("\n"+body, "\n# ", "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	offered, err := conf.Load(name, "lvs-a")
	if err != nil {
		t.Fatal(err)
	}
	if len(offered.Instances) != 1 || len(offered.Services) != 1 || len(offered.Services[0].Servers) != 2 {
		t.Errorf("it offers %+v", offered)
	}
}
