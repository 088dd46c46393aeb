// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const preface = `# Benchmarks

Written by ` + "`make bench`" + `, as measured; a figure that misses its goal stays in the
table. Times on one machine are noise to another: ratios and counts are what to
keep. Peers are measured in the same run, on the same swtpm, in turn with ours.

`

const epilogue = `
## Again

` + "```sh" + `
make bench                      # all of it, and this page
make bench-large                # with a ledger of ten million entries besides
make bench-test                 # the arithmetic of the tools
bin/bench -only P3              # one figure, printed only
bin/bench -only P6,P7 -entries 10000000 -turns 1
rm -r ~/.cache/station-bench    # the long ledgers
` + "```" + `

The tools work by hand, too: ` + "`bin/paced-line`" + ` puts a serial line of a given speed
in front of a board on a pseudo-terminal, ` + "`bin/tpm-proxy`" + ` counts the commands that
a TPM on a socket gets, slows its signatures down and models a resource manager.
` + "`bin/make-lot -entries 1000000 -dir DIR`" + ` makes the home of a station that has made so
many entries: units with a key, a request, a certificate and a receipt each, some of
which failed at first, under checkpoints and seals of a simulated TPM.
` + "`stationctl ledger verify --home DIR/home --root DIR/root/root.pem`" + ` judges it like any other.
`

// pageOf is docs/benchmarks.md.
func pageOf(ctx context.Context, p *plant, reports []*report) (string, error) {
	var b strings.Builder
	b.WriteString(preface)
	b.WriteString(tableOf(reports))
	b.WriteString("\n## Machine\n\n")
	rows, err := machine(ctx, p)
	if err != nil {
		return "", err
	}
	for _, r := range reports {
		rows = append(rows, []string{"load average before " + r.figures[0].id, r.load})
	}
	b.WriteString(markdown([]string{"", ""}, rows))
	for _, r := range reports {
		b.WriteString(r.String())
	}
	b.WriteString(epilogue)
	return b.String(), nil
}

// String is a report's section of the page.
func (r *report) String() string {
	text := fmt.Sprintf("\n## %s\n\n%s\n\n%s", r.title, r.how, markdown(r.head, r.rows))
	if r.note != "" {
		text += "\n" + r.note + "\n"
	}
	return text
}

// machine describes where the figures come from.
func machine(ctx context.Context, p *plant) ([][]string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return nil, err
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(p.dir, &fs); err != nil {
		return nil, err
	}
	cpu, err := field("/proc/cpuinfo", "model name")
	if err != nil {
		return nil, err
	}
	rows := [][]string{
		{"date", time.Now().UTC().Format(time.DateOnly)},
		{"processor", fmt.Sprintf("%s, %d cores", cpu, runtime.NumCPU())},
		{"kernel", unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])},
		{"file system of the ledger", fmt.Sprintf("type %#x", fs.Type)},
		{"Go", runtime.Version()},
	}
	for _, tool := range [][]string{{"swtpm", "--version"}, {"openssl", "version"}} {
		out, err := exec.CommandContext(ctx, tool[0], tool[1:]...).Output()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", strings.Join(tool, " "), err)
		}
		line, _, _ := strings.Cut(string(out), "\n")
		rows = append(rows, []string{tool[0], strings.TrimSpace(line)})
	}
	out, err := exec.CommandContext(ctx, "dpkg-query", "-W", "-f", "${Version}", "tpm2-openssl").Output()
	if err == nil { // elsewhere it does not come as this package
		rows = append(rows, []string{"tpm2-openssl", string(out)})
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if d.Path == "go.step.sm/crypto" {
				rows = append(rows, []string{d.Path, d.Version})
			}
		}
	}
	return rows, nil
}

// field reads the first value of a name in a file of /proc.
func field(path, name string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value), nil
		}
	}
	return "not told", nil
}

// loadAverage is how many processes wanted to run in the last minute.
func loadAverage() (string, error) {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "", err
	}
	load, _, _ := strings.Cut(string(text), " ")
	return load, nil
}
