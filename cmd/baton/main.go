// Command baton is a high-availability director for Linux IPVS.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"baton/internal/control"
)

// The exit codes.
const (
	exitDone    = 0
	exitFailed  = 1  // refused or failed
	exitChanges = 2  // plan: there are changes
	exitUsage   = 64 // EX_USAGE of sysexits.h
	// status --nagios exits with the numbers of control.Severity.
)

// defaultConfig is where the configuration is unless -c says otherwise.
const defaultConfig = "/etc/baton/baton.toml"

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run executes a command line and returns its exit code.
func run(args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteC()
	if err == nil {
		return exitDone
	}
	var f *failure
	if errors.As(err, &f) {
		if f.err != nil {
			fmt.Fprintf(stderr, "baton: %v\n", f.err)
		}
		return f.code
	}
	// What is not from a command's own action is from cobra: a wrong usage.
	fmt.Fprintf(stderr, "baton: %v\nSee '%s --help'.\n", err, cmd.CommandPath())
	return exitUsage
}

// failure is an error of an action with its exit code. Without err everything
// has been said already.
type failure struct {
	code int
	err  error
}

// Error implements error.
func (f *failure) Error() string {
	if f.err == nil {
		return fmt.Sprintf("exit code %d", f.code)
	}
	return f.err.Error()
}

// Unwrap returns the action's error.
func (f *failure) Unwrap() error { return f.err }

// usage marks an error of an action as a wrong usage.
type usage struct{ error }

// action makes a cobra action of f, whose plain errors exit with 1.
func action(f func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		err := f(cmd, args)
		var done *failure
		var wrong usage
		switch {
		case err == nil, errors.As(err, &done):
			return err
		case errors.As(err, &wrong):
			return wrong.error
		case errors.Is(err, context.Canceled):
			err = errors.New("interrupted")
		}
		return &failure{code: exitFailed, err: err}
	}
}

// options are the flags that several commands share.
type options struct {
	config string
	node   string
	socket string
}

func (o *options) addConfig(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&o.config, "config", "c", defaultConfig, "configuration `file`")
	cmd.Flags().StringVar(&o.node, "node", "", "`name` by which per-node values are chosen (default: router_id, else the host name)")
}

func (o *options) addSocket(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.socket, "socket", control.DefaultSocket, "control `socket` of the running director")
}

func (o *options) client() *control.Client { return control.NewClient(o.socket) }

// interruptible is a context that ends with SIGINT or SIGTERM.
func interruptible(cmd *cobra.Command) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "baton",
		Short: "A high-availability director for Linux IPVS",
		Long: `Baton is a high-availability director for Linux IPVS: two directors share a
virtual IP through VRRP, health checks decide which real servers get traffic,
and the VIP is passed without losing a request.

Exit codes: 0 done, 1 refused or failed, 2 there are changes (plan only),
64 wrong usage. status --nagios and doctor have those of a monitoring plugin.`,
		Args:              commandOnly,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		RunE:              needCommand,
	}
	root.SetContext(context.Background())
	root.AddCommand(
		newRun(), newStop(), newCleanup(), newCheck(), newImport(), newPlan(), newSave(), newReload(), newStatus(), newExplain(), newEvents(), newLog(), newFailover(), newDrain(), newUndrain(), newWeight(), newDoctor(), newRealServer(),
		newLab(), newDrill(), newVersion(), newMan(), newCompletion(),
		newSpeaker(), newProber(), newLabProcess(),
	)
	addExamples(root)
	return root
}

// commandOnly refuses the arguments of a command that only groups others.
func commandOnly(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	meant := ""
	cmd.SuggestionsMinimumDistance = 2 // cobra's own default, which it sets elsewhere
	if s := cmd.SuggestionsFor(args[0]); len(s) > 0 {
		meant = " (did you mean " + strings.Join(s, " or ") + "?)"
	}
	return fmt.Errorf("unknown command %q for %q%s", args[0], cmd.CommandPath(), meant)
}

// needCommand is the action of a command that only groups others.
func needCommand(cmd *cobra.Command, args []string) error {
	fmt.Fprintln(cmd.ErrOrStderr(), cmd.UsageString())
	return errors.New("a command is missing")
}
