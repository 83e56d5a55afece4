package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"baton/internal/lab"
)

func newDrill() *cobra.Command {
	var (
		o            labOptions
		up           lab.Options
		list, asJSON bool
		beat         time.Duration
		build        bool
	)
	cmd := &cobra.Command{
		Use:   "drill [SCENARIO…]",
		Short: "Break the lab, measure what a client notices",
		Long: `Runs scenarios on the lab, without an argument all but clock, while a client opens
a fresh connection every 5 ms; prints what happened when and what the client
noticed. Exits 1 when an expectation did not hold. The faults' numbers are those
of docs/faults.md. Every scenario runs in every mode of baton lab; in mode nat a
planned change of master may cost requests in flight, which counts as held.

` + scenarioList(),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			if list {
				fmt.Fprint(cmd.OutOrStdout(), scenarioList())
				return nil
			}
			if err := knownScenarios(args); err != nil {
				return usage{err}
			}
			ctx, cancel := interruptible(cmd)
			defer cancel()
			if beat < 0 {
				return usage{fmt.Errorf("--beat is %v: use a positive interval such as 5ms", beat)}
			}
			d := lab.DrillOptions{Scenarios: args, Out: cmd.OutOrStdout(), Load: lab.LoadOptions{Interval: beat}}
			if asJSON {
				d.Out = cmd.ErrOrStderr()
			}
			d.Terminal = isTerminal(d.Out)
			report, err := drill(ctx, cmd, o, up, build, d)
			if err != nil {
				return err
			}
			if asJSON {
				err = report.WriteJSON(cmd.OutOrStdout())
			}
			if err == nil && !report.Held() {
				err = errors.New("not every expectation held")
			}
			return err
		}),
	}
	o.add(cmd)
	addBuild(cmd, &up)
	cmd.Flags().BoolVar(&list, "list", false, "list the scenarios")
	cmd.Flags().BoolVar(&asJSON, "json", false, "report as JSON on standard output, progress on standard error")
	cmd.Flags().DurationVar(&beat, "beat", 0, "the client's `interval` between connections (default 5ms, slower on a machine that cannot carry that)")
	cmd.Flags().BoolVar(&build, "up", false, "build a lab for this drill and remove it afterwards")
	return cmd
}

func drill(ctx context.Context, cmd *cobra.Command, o labOptions, up lab.Options, build bool, d lab.DrillOptions) (report lab.DrillReport, err error) {
	if !build {
		l, err := o.open()
		if err != nil {
			return report, err
		}
		return l.Drill(ctx, d)
	}
	err = lab.Temporarily(ctx, o.building(cmd, up), func(l *lab.Lab) error {
		report, err = l.Drill(ctx, d)
		return err
	})
	return report, err
}

func knownScenarios(names []string) error {
	for _, n := range names {
		if !slices.ContainsFunc(lab.Scenarios(), func(s lab.Scenario) bool { return s.Name == n }) {
			return fmt.Errorf("there is no scenario %q; baton drill --list has them", n)
		}
	}
	return nil
}

func scenarioList() string {
	var b strings.Builder
	for _, s := range lab.Scenarios() {
		fmt.Fprintf(&b, "  %-13s fault %-6s %s\n", s.Name, s.Faults, s.Sentence)
	}
	return b.String()
}
