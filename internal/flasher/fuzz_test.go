// SPDX-License-Identifier: Apache-2.0

package flasher_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"provisioning.example/station/internal/flasher"
	"provisioning.example/station/internal/smp"
	"provisioning.example/station/internal/virtual"
)

// FuzzManifest: a manifest is refused with its name, or says for which model
// its image is.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(manifest(image(1, 10), "1.4.7", "m")))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "manifest.toml")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := flasher.ReadManifest(path, nil)
		if err != nil {
			if !strings.HasPrefix(err.Error(), path) {
				t.Errorf("refused without the file's name: %v", err)
			}
			return
		}
		if n := len(m.Model()); n == 0 || n > 64 || m.Signed() || m.Suits(m.Model()+"x", "1") == nil {
			t.Errorf("accepted: model of %d bytes, signed %v", n, m.Signed())
		}
	})
}

// FuzzAnswers: whatever a board answers, writing an image ends in time, and
// what is reported as running is the image. The said is cut at each ff fe into
// payloads that the board gives in turn, the last of them for ever.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte{0xa1, 0x63, 'o', 'f', 'f', 0x18, 0x40})
	img, err := flasher.Parse(image(2, 200))
	if err != nil {
		f.Fatal(err)
	}
	running := img.BootDigest()
	f.Fuzz(func(t *testing.T, said []byte) {
		payloads := strings.SplitN(string(said[:min(len(said), 7000)]), "\xff\xfe", 16)
		synctest.Test(t, func(t *testing.T) {
			station, board := virtual.Line()
			go answerInTurn(board, payloads)
			client := smp.NewClient(smp.ClientConfig{Stream: station})
			defer client.Close()
			cfg := flasher.Config{Client: client, Restart: func(context.Context) error { return nil }}
			begin := time.Now()
			report, err := flasher.Write(t.Context(), cfg, img)
			if err == nil && string(report.Running) != string(running[:]) {
				t.Errorf("it runs %x, which is another image", report.Running)
			}
			if took := time.Since(begin); took > time.Hour {
				t.Errorf("it took %v", took)
			}
		})
	})
}

func answerInTurn(line *virtual.End, payloads []string) {
	var dec smp.Decoder
	buf := make([]byte, 4096)
	for {
		n, err := line.Read(buf)
		if err != nil {
			return
		}
		dec.Feed(buf[:n], func(message []byte) {
			m, err := smp.ParseMessage(message)
			if err != nil {
				return
			}
			m.Op++
			m.Payload = []byte(payloads[0])
			if len(payloads) > 1 {
				payloads = payloads[1:]
			}
			_, _ = line.Write(smp.AppendPacket(nil, m.Append(nil), false)) // the other end may be gone
		}, func([]byte) {})
	}
}
