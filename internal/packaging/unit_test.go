package packaging

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestUnitRestrictsItsProcesses: the unit keeps the prober, which reads what
// strangers send, and everything else from what none of them needs.
func TestUnitRestrictsItsProcesses(t *testing.T) {
	raw, err := os.ReadFile("../../examples/baton.service")
	if err != nil {
		t.Fatal(err)
	}
	has := map[string][]string{}
	for line := range strings.Lines(string(raw)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(key, "#") {
			has[key] = append(has[key], value)
		}
	}
	for key, want := range map[string]string{
		"NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes", "PrivateTmp": "yes", "PrivateDevices": "yes",
		"ProtectControlGroups": "yes", "ProtectClock": "yes", "ProtectHostname": "yes", "ProtectKernelLogs": "yes", "ProtectKernelModules": "yes",
		"ProtectKernelTunables": "yes", "ReadWritePaths": "/proc/sys/net",
		"RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET",
		"RestrictNamespaces":      "yes", "RestrictSUIDSGID": "yes", "LockPersonality": "yes", "MemoryDenyWriteExecute": "yes",
		"SystemCallArchitectures": "native", "SystemCallErrorNumber": "EPERM",
	} {
		if !slices.Equal(has[key], []string{want}) {
			t.Errorf("%s is %q, want %q", key, has[key], want)
		}
	}
	// What the second takes away the first has given.
	if calls := has["SystemCallFilter"]; len(calls) != 2 || calls[0] != "@system-service" || calls[1] != "~@keyring userfaultfd" {
		t.Errorf("system calls: %q", calls)
	}
	for _, never := range []string{"CAP_SYS_ADMIN", "CAP_SYS_MODULE", "CAP_SYS_PTRACE", "CAP_SYS_RAWIO", "CAP_BPF", "CAP_MKNOD", "CAP_SYS_BOOT"} {
		if set := strings.Join(has["CapabilityBoundingSet"], " "); set == "" || strings.HasPrefix(set, "~") || slices.Contains(strings.Fields(set), never) {
			t.Errorf("capabilities: %q", set)
		}
	}
}
