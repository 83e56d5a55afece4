package main

import (
	"github.com/spf13/cobra"

	"baton/internal/manual"
)

// examples are for --help and the manual pages, by the command's path; a
// command may also bring its own.
var examples = map[string]string{
	"": `  baton check && baton reload       apply a changed file, or see every mistake
  baton status                      who is master, what is wrong
  baton failover                    hand the addresses to the peer, before a reboot`,
	"run": `  baton run                         with /etc/baton/baton.toml, as the systemd unit does
  baton run -c pair.toml --node lvs-a`,
	"stop":    `  baton stop                        where no systemd runs the director`,
	"cleanup": "  baton cleanup                     after kill -9, where no systemd does it\n  baton cleanup --ipvs              before Baton leaves this machine for good",
	"check": `  baton check                       /etc/baton/baton.toml, for this node
  baton check -c new.toml --node lvs-b`,
	"reload":   `  baton check && baton reload`,
	"explain":  "  baton explain VI_1                why it is master or not\n  baton explain 192.168.16.103      why it is up or down, and what would change that",
	"events":   "  baton events -f                   as they happen\n  baton events --since 1h",
	"failover": "  baton failover                    every instance that is master here\n  baton failover VI_1",
	"drain": `  baton drain 192.168.16.103        in every service
  baton drain 192.168.16.103:80 --timeout 10m`,
	"undrain": `  baton undrain 192.168.16.103`,

	"weight": `  baton weight 192.168.16.103 5     until it is taken back, over restarts too`,
	"realserver": `  baton realserver up 192.168.16.200 --persist
  baton realserver status`,
	"realserver up": `  baton realserver up 192.168.16.200 --persist
  baton realserver up 192.168.16.200 --mode tun`,
	"realserver down":   `  baton realserver down 192.168.16.200`,
	"realserver status": `  baton realserver status           of all that were put up here`,
	"lab":               "  baton lab up; baton drill         practise on a laptop first\n  baton lab down",
	"lab up":            "  baton lab up\n  baton lab up --mode tun",
	"lab down":          "  baton lab down",
	"lab status":        "  baton lab status",
	"drill":             "  baton drill stop failover         as for an upgrade\n  baton drill --list",
	"version":           "  baton version",
	"man":               "  baton man /usr/local/share/man/man8",
	"completion":        "  baton completion bash >/etc/bash_completion.d/baton",
}

// addExamples gives the commands without examples theirs.
func addExamples(root *cobra.Command) {
	for _, c := range manual.All(root) {
		if c.Example == "" {
			c.Example = examples[manual.Path(c)]
		}
	}
}
