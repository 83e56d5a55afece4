package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"baton/conf"
	"baton/internal/control"
	"baton/internal/manual"
)

func newMan() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIRECTORY",
		Short: "Write the manual pages into a directory",
		Long: `Writes baton(8), a page for each command and baton.toml(5) into the directory, which
it makes. The packages bring them along.`,
		Args: cobra.ExactArgs(1),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			pages := manualPages(cmd.Root())
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("make directory for manual pages: %w", err)
			}
			for _, name := range slices.Sorted(maps.Keys(pages)) {
				if err := os.WriteFile(filepath.Join(args[0], name), pages[name], 0o644); err != nil {
					return fmt.Errorf("write manual page: %w", err)
				}
			}
			fmt.Fprintf(cmd.OutOrStdout(), "wrote %s to %s\n", count(len(pages), "page"), args[0])
			return nil
		}),
	}
}

func manualPages(root *cobra.Command) map[string][]byte {
	facts := manual.Facts{Version: versionText(), Exit: exitCodes, Files: files, Also: otherPages}
	pages := manual.Commands(root, facts)
	name, page := manual.Configuration(conf.Reference, facts)
	pages[name] = page
	return pages
}

var (
	done  = manual.Fact{Term: "0", Meaning: "Done."}
	wrong = manual.Fact{Term: "64", Meaning: "Wrong usage."}
)

// exitCodes are those of commands that differ from all others.
var exitCodes = map[string][]manual.Fact{
	"": {done, {Term: "1", Meaning: "Refused or failed; standard error says why, and what mends it."}, wrong},
	"check": {{Term: "0", Meaning: "The file can take effect, perhaps with warnings."},
		{Term: "1", Meaning: "It cannot."}, wrong},
	"plan": {{Term: "0", Meaning: "There is nothing to change."}, {Term: "1", Meaning: "It could not be found out."},
		{Term: "2", Meaning: "There are changes."}, wrong},
	"drill": {{Term: "0", Meaning: "Every expectation held."}, {Term: "1", Meaning: "One did not, or a drill failed."}, wrong},
	"status": {{Term: "0", Meaning: "Done; with --nagios, nothing to report."},
		{Term: "1", Meaning: "The director cannot be asked; with --nagios, a warning."},
		{Term: "2", Meaning: "With --nagios: critical."}, {Term: "3", Meaning: "With --nagios: the director cannot be asked."}, wrong},
	"doctor": {{Term: "0", Meaning: "All is well."}, {Term: "1", Meaning: "There are warnings."},
		{Term: "2", Meaning: "Something is wrong."}, {Term: "3", Meaning: "It could not be found out."}, wrong},
	"realserver status": {{Term: "0", Meaning: "Everything is right."}, {Term: "1", Meaning: "Something is wrong."}, wrong},
}

// files are what the flags name.
var files = map[string][]manual.Fact{
	"config": {{Term: defaultConfig, Meaning: "The configuration, see baton.toml(5)."}},
	"socket": {{Term: control.DefaultSocket, Meaning: "The control socket of the running director."}},
	"runtime-dir": {{Term: defaultRuntimeDir, Meaning: "What need not outlive a reboot: the pid, the control socket,\n" +
		"what was changed of the kernel's parameters."}},
	"state-dir": {{Term: defaultStateDir, Meaning: "What must: the journal of events, drained servers, which services are Baton's."}},
}

// otherPages are those of other programs; "" stands for all commands.
var otherPages = map[string][]string{
	"": {"ipvsadm(8)"}, "save": {"ipvsadm-save(8)", "ipvsadm-restore(8)"}, "cleanup": {"ip-address(8)"},
	"run": {"systemd.service(5)"}, "lab": {"ip-netns(8)"}, "realserver": {"ip-address(8)", "arp(7)"},
}
