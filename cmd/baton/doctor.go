package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"baton/conf"
	"baton/internal/doctor"
	"baton/internal/realserver"
)

// hospital is where a doctor meets the machine.
type hospital struct {
	gather        func(context.Context, *conf.Config, doctor.Options) (doctor.Facts, error)
	refresh       func(context.Context, *conf.Config, *doctor.Facts) error
	gatherServer  func(context.Context, *realserver.Manager, []realserver.Want, doctor.Options) (doctor.Facts, error)
	refreshServer func(context.Context, *realserver.Manager, []realserver.Want, *doctor.Facts) error
	apply         func(context.Context, []doctor.Finding) ([]string, error)
}

// clinic is this machine; tests have their own.
var clinic = hospital{doctor.Gather, doctor.Refresh, doctor.GatherServer, doctor.RefreshServer, doctor.Apply}

// consultation is one run of doctor.
type consultation struct {
	options
	server   realServerOptions
	isServer bool
	fix      bool
	json     bool
}

func newDoctor() *cobra.Command {
	var c consultation
	cmd := &cobra.Command{
		Use:   "doctor [--real-server [VIP…]]",
		Short: "Say what is wrong with this machine, and the command that mends it",
		Long: `Looks at everything around Baton that keeps it from working: kernel modules,
sysctls, where the addresses stand, who else sends adverts or answers for the
addresses, the firewall, tunnels, the clock, limits and capabilities, programs that
do the same, and what the running director says of itself. Each finding has its
consequence and the command that mends it; docs/doctor.md explains each.

It listens for three advert intervals. Without a running director it judges what
there is. With --real-server it judges a real server of DR or TUN instead: the named
addresses, or those that baton realserver up has put up.

--fix applies what cuts no traffic, and nothing else: sysctls and modules. It does not
make them outlive a reboot; the lines "keep:" do.

Exit codes, as of a Nagios plugin: 0 all is well, 1 warning, 2 critical, 3 something
could not be found out (not run as root, no valid configuration), 64 wrong usage.`,
		Example: `  baton doctor                                   on a director
  baton doctor --fix                             and set what is safe to set
  baton doctor --real-server 192.168.16.200      on a real server of DR
  baton doctor --json | jq '.findings[] | select(.severity != "ok")'`,
		RunE: action(func(cmd *cobra.Command, args []string) error {
			ctx, cancel := interruptible(cmd)
			defer cancel()
			if !c.isServer {
				for _, name := range []string{"mode", "interface", "runtime-dir", "state-dir"} {
					if cmd.Flags().Changed(name) {
						return usage{fmt.Errorf("--%s is for --real-server", name)}
					}
				}
				if len(args) > 0 {
					return usage{fmt.Errorf("%q: an address is for --real-server", args[0])}
				}
			}
			examine := c.director
			if c.isServer {
				examine = c.realServer
			}
			report, err := examine(ctx, cmd, args)
			var wrong usage
			switch {
			case errors.As(err, &wrong), errors.Is(err, context.Canceled):
				return err
			case err != nil:
				return &failure{code: exitUnknown, err: err}
			}
			if c.json {
				err = writeJSON(cmd.OutOrStdout(), report)
			} else {
				_, err = io.WriteString(cmd.OutOrStdout(), diagnosis(report, paintFor(cmd.OutOrStdout())))
			}
			if code := report.Code(); err == nil && code != 0 {
				return &failure{code: code}
			}
			return err
		}),
	}
	c.addConfig(cmd)
	c.addSocket(cmd)
	c.server.add(cmd, true)
	cmd.Flags().BoolVar(&c.isServer, "real-server", false, "judge this machine as a real server")
	cmd.Flags().BoolVar(&c.fix, "fix", false, "apply what cuts no traffic")
	cmd.Flags().BoolVar(&c.json, "json", false, "as JSON")
	return cmd
}

// exitUnknown is for what could not be found out.
const exitUnknown = 3

// progress shows what takes longer than a second, on a terminal only.
func progress(cmd *cobra.Command) (show func(string), end func()) {
	w := cmd.ErrOrStderr()
	if !isTerminal(w) {
		return nil, func() {}
	}
	return func(s string) { fmt.Fprint(w, "\r\x1b[K"+clean(s)) }, func() { fmt.Fprint(w, "\r\x1b[K") }
}

func (c *consultation) director(ctx context.Context, cmd *cobra.Command, _ []string) (doctor.Report, error) {
	cfg, err := conf.Load(c.config, c.node)
	var problems conf.Problems
	if errors.As(err, &problems) {
		_ = refused(cmd, problems)
		return doctor.Report{}, errors.New("without a valid configuration nothing can be judged (see baton check)")
	}
	if err != nil {
		return doctor.Report{}, err
	}
	socket := c.socket
	if !cmd.Flags().Changed("socket") {
		socket = cfg.Global.ControlSocket
	}
	asked := options{socket: socket}
	show, end := progress(cmd)
	facts, err := clinic.gather(ctx, cfg, doctor.Options{Client: asked.client(), Progress: show})
	end()
	if err != nil {
		return doctor.Report{}, err
	}
	return c.treat(ctx, cmd, func() doctor.Report { return doctor.Judge(cfg, facts) },
		func() error { return clinic.refresh(ctx, cfg, &facts) })
}

func (c *consultation) realServer(ctx context.Context, cmd *cobra.Command, args []string) (report doctor.Report, err error) {
	m, err := realserver.Open(ctx, c.server.Options)
	if err != nil {
		return report, err
	}
	defer m.Close()
	wants, err := c.server.known(cmd, args, m)
	if err != nil {
		return report, err
	}
	if len(wants) == 0 {
		return report, usage{errors.New("no virtual address was put up here by baton: name one to judge it")}
	}
	show, end := progress(cmd)
	facts, err := clinic.gatherServer(ctx, m, wants, doctor.Options{Progress: show})
	end()
	if err != nil {
		return report, err
	}
	return c.treat(ctx, cmd, func() doctor.Report { return doctor.JudgeServer(wants, facts) },
		func() error { return clinic.refreshServer(ctx, m, wants, &facts) })
}

// treat judges, with --fix mends what is safe, and judges again.
func (c *consultation) treat(ctx context.Context, cmd *cobra.Command, judge func() doctor.Report, refresh func() error) (doctor.Report, error) {
	report := judge()
	if !c.fix {
		return report, nil
	}
	done, err := clinic.apply(ctx, report.Findings)
	if err != nil {
		fmt.Fprintln(cmd.ErrOrStderr(), "baton: not everything was mended:", err)
	}
	if len(done) > 0 {
		if err := refresh(); err != nil {
			return report, err
		}
		report = judge()
	}
	report.Fixed = done
	return report, nil
}

const (
	pageWidth   = 80
	findingDent = 9 // of what follows a finding's first line
)

// diagnosis is the report as text. Prose is wrapped; commands are not, so that
// they can be pasted.
func diagnosis(r doctor.Report, p paint) string {
	var b strings.Builder
	for _, c := range r.Fixed {
		fmt.Fprintf(&b, "%s %s\n", p.as(green, "fixed   "), clean(c))
	}
	if len(r.Fixed) > 0 {
		b.WriteByte('\n')
	}
	hues := map[doctor.Severity]colour{doctor.OK: green, doctor.Warning: yellow, doctor.Critical: red, doctor.Unknown: dim}
	dent := strings.Repeat(" ", findingDent)
	for _, f := range r.Findings {
		lines := wrap(clean(f.What), pageWidth-findingDent)
		fmt.Fprintf(&b, "%s %s\n", p.as(hues[f.Severity], fmt.Sprintf("%-8s", f.Severity)), strings.Join(lines, "\n"+dent))
		if f.Severity == doctor.OK {
			continue
		}
		for _, l := range wrap(clean(f.Consequence), pageWidth-findingDent) {
			fmt.Fprintln(&b, dent+l)
		}
		on := ""
		if f.On != "" {
			on = "on " + clean(f.On) + ", "
		}
		if f.Mend != "" {
			for _, l := range wrap(on+"mend with:", pageWidth-findingDent) {
				fmt.Fprintln(&b, dent+l)
			}
			fmt.Fprintln(&b, dent+"  "+p.as(bold, clean(f.Mend)))
		}
		if f.Persist != "" {
			fmt.Fprintln(&b, dent+"keep: "+clean(f.Persist))
		}
		fmt.Fprintln(&b, dent+p.as(dim, "["+f.ID+"]"))
	}
	fmt.Fprintln(&b, "\n"+verdict(r))
	return b.String()
}

// verdict is the last line.
func verdict(r doctor.Report) string {
	var parts []string
	for _, s := range []doctor.Severity{doctor.Critical, doctor.Warning, doctor.Unknown, doctor.OK} {
		if n := r.Count(s); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		}
	}
	if r.Code() == 0 {
		return "All is well: " + strings.Join(parts, ", ")
	}
	return strings.Join(parts, ", ") + "; docs/doctor.md explains each"
}

// wrap breaks text at spaces. A word that is longer than a line has one of its own.
func wrap(text string, width int) []string {
	var out []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len([]rune(line))+1+len([]rune(word)) > width {
			out = append(out, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	if line != "" {
		out = append(out, line)
	}
	return out
}
