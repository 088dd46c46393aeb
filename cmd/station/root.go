// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"provisioning.example/station/internal/operator"
	"provisioning.example/station/internal/port"
)

// globals are the flags every command knows.
type globals struct {
	home     string
	operator string
	approver string
	logLevel string
	json     bool
	yes      bool
	pin      secretFlags
	bus      port.Bus
	product  string      // the order's, "" for the home's own
	accept   *acceptance // of what the clock shows

	operatorPIN secretFlags
	approverPIN secretFlags
	action      operator.Action // what the command does that not everybody may
	afterLoss   bool            // the register of operators was lost, and this command begins it anew
	locked      []string        // ids that wrong PINs have just locked
}

// newRoot builds the command tree: one file per subcommand.
func newRoot(bus port.Bus) *cobra.Command {
	g := &globals{bus: bus}
	root := &cobra.Command{
		Use:   "station",
		Short: "give every board its own X.509 identity, and prove it afterwards",
		Long: `station provisions boards on a production line: each makes its own key, gets a
certificate signed by the TPM of this station, proves it, and is recorded in a
ledger that shows any tampering. Without a command it opens the window.`,
		SilenceUsage: true, SilenceErrors: true,
		Args: cobra.NoArgs,
	}
	f := root.PersistentFlags()
	f.StringVar(&g.home, "home", defaultHome(), "the station's home folder (or STATION_HOME)")
	f.StringVar(&g.operator, "operator", "", "who is at the bench (default os:NAME of the login)")
	f.StringVar(&g.approver, "approver", "", "who approves what cannot be undone; not the operator")
	f.StringVar(&g.logLevel, "log-level", "warn", "debug, info, warn or error, on standard error")
	f.BoolVar(&g.json, "json", false, "machine-readable output on standard output")
	f.BoolVar(&g.yes, "yes", false, "answer every question with yes")
	f.StringVar(&g.pin.file, "pin-file", "", "file that holds the CA key's PIN")
	f.IntVar(&g.pin.fd, "pin-fd", -1, "open descriptor that holds the CA key's PIN")
	f.StringVar(&g.pin.credential, "pin-credential", "", "systemd credential that holds the CA key's PIN (default "+caPINCredential+", where the service has it)")
	g.pin.automatic = caPINCredential
	f.StringVar(&g.operatorPIN.file, "operator-pin-file", "", "file that holds the operator's PIN")
	f.IntVar(&g.operatorPIN.fd, "operator-pin-fd", -1, "open descriptor that holds the operator's PIN")
	f.StringVar(&g.approverPIN.file, "approver-pin-file", "", "file that holds the approver's PIN")
	f.IntVar(&g.approverPIN.fd, "approver-pin-fd", -1, "open descriptor that holds the approver's PIN")
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error {
		g.action = actionOf(c)
		if err := checkPerson("--operator", g.operator); err != nil {
			return err
		}
		return checkPerson("--approver", g.approver)
	}
	addWindow(root, g)
	root.AddCommand(
		newDemo(g), newInit(g), newRootCA(g), newCA(g), newPorts(g), newSlots(g), newBatch(g), newUnit(g), newScrap(g), newRework(g), newOrder(g), newSelfcheck(g), newTraining(g),
		newLedger(g), newOperator(g), newProfile(g), newProduct(g), newBoard(g), newDoctor(g), newHandover(g), newVersion(g), newPlantCommand(g), newLabel(g),
	)
	return root
}

// defaultHome is STATION_HOME, else a folder beside the user's other data.
func defaultHome() string {
	if dir := os.Getenv("STATION_HOME"); dir != "" {
		return dir
	}
	if dir := os.Getenv("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, "station")
	}
	dir, err := os.UserHomeDir()
	if err != nil {
		return "station-home"
	}
	return filepath.Join(dir, ".local", "share", "station")
}

// logger writes to standard error at the level asked for.
func (g *globals) logger() (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(g.logLevel)); err != nil {
		return nil, usage(fmt.Errorf("--log-level %q", g.logLevel), "allowed: debug, info, warn, error")
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})), nil
}

// ports is where boards are plugged in.
func (g *globals) ports() port.Bus {
	b := g.bus
	if log, err := g.logger(); err == nil {
		b.Log = log
	}
	return b
}

// checkPerson refuses a name that would do harm in a table, a terminal or a
// spreadsheet: every entry of the ledger carries it. "" is not asked for.
func checkPerson(flag, name string) error {
	if name == "" || (len(name) <= 64 && !strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r > '~' }) && !strings.ContainsRune("=+-@ ", rune(name[0]))) {
		return nil
	}
	return usage(fmt.Errorf("%s %q is nobody's id or badge", flag, name), "1 to 64 printable ASCII characters, the first none of = + - @ and no space")
}

// who is the operator every entry names.
func (g *globals) who() string {
	if g.operator != "" {
		return g.operator
	}
	if u, err := user.Current(); err == nil {
		return "os:" + u.Username
	}
	return fmt.Sprintf("os:%d", os.Getuid())
}

// software names the program on every entry.
func software() string { return "station " + version }
