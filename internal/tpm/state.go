// SPDX-License-Identifier: Apache-2.0

package tpm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/google/go-tpm/tpm2"
)

// DAState is the TPM's protection against guessing PINs (Part 1, section 19.8).
type DAState struct {
	// Used counts wrong PINs and unclean stops; at Max the TPM locks.
	Used, Max int
	// Interval is the powered time after which Used goes down by one; 0 means
	// never.
	Interval time.Duration
	// Recovery is the powered time after a wrong lockout authorisation until
	// the next one is taken; 0 means the next restart.
	Recovery time.Duration
}

// lineDA suits a production line: the factory setting of a software TPM, 3
// tries, is used up by as many power cuts.
var lineDA = DAState{Max: 32, Interval: 600 * time.Second, Recovery: 86400 * time.Second}

// DA reads the state of the protection against guessing PINs.
func (t *TPM) DA(ctx context.Context) (DAState, error) {
	return read(ctx, t, "read the lockout state", (*bus).readDA)
}

// SetDA sets Max, Interval and Recovery (Used is not written). It works while
// the lockout authorisation of the TPM is empty.
func (t *TPM) SetDA(ctx context.Context, s DAState) error {
	if s.Max < 1 || int64(s.Max) > math.MaxUint32 || !seconds(s.Interval) || !seconds(s.Recovery) {
		return fmt.Errorf("set the lockout limits: %d tries, %s, %s is out of range", s.Max, s.Interval, s.Recovery)
	}
	if err := t.run(ctx, func(b *bus) error { return b.setDA(s) }); err != nil {
		return fmt.Errorf("set the lockout limits: %w", err)
	}
	return nil
}

// seconds tells whether d fits a TPM's 32 bits of seconds.
func seconds(d time.Duration) bool { return d >= 0 && d/time.Second <= math.MaxUint32 }

// Clock reads the TPM's clock in milliseconds of powered life, the number of
// its resets, and whether the clock can not have been seen at a higher value
// before (Part 1, section 36.3).
func (t *TPM) Clock(ctx context.Context) (ms uint64, resets uint32, safe bool, err error) {
	c, err := read(ctx, t, "read the clock of the TPM", (*bus).readClock)
	return c.Clock, c.ResetCount, bool(c.Safe), err
}

// Health asks the TPM for a sign of life.
func (t *TPM) Health(ctx context.Context) error {
	_, _, _, err := t.Clock(ctx)
	return err
}

// read runs a question that may be asked again at will.
func read[T any](ctx context.Context, t *TPM, op string, ask func(*bus) (T, error)) (T, error) {
	var result T
	err := t.run(ctx, func(b *bus) (err error) {
		result, err = ask(b)
		return err
	})
	if err != nil {
		var zero T
		return zero, fmt.Errorf("%s: %w", op, err)
	}
	return result, nil
}

func (b *bus) readClock() (tpm2.TPMSClockInfo, error) {
	rsp, err := tpm2.ReadClock{}.Execute(b)
	if err != nil {
		return tpm2.TPMSClockInfo{}, b.fault("ask for the time", err)
	}
	c := rsp.CurrentTime
	if c.Time == 0 && c.ClockInfo.Clock == 0 && c.ClockInfo.ResetCount == 0 {
		// go-tpm takes an answer without parameters for one of zeros.
		return tpm2.TPMSClockInfo{}, b.fault("ask for the time", errors.New("the answer is empty"))
	}
	return c.ClockInfo, nil
}

// Fixed and variable properties of a TPM (Part 2, section 6.13).
const (
	ptManufacturer  = 0x105
	ptVendorString1 = 0x106
	ptVendorString4 = 0x109
	ptFirmware1     = 0x10B
	ptFirmware2     = 0x10C

	ptLockoutCounter  = 0x20E
	ptMaxAuthFail     = 0x20F
	ptLockoutInterval = 0x210
	ptLockoutRecovery = 0x211
)

// properties reads the TPM's properties from first to last.
func (b *bus) properties(first, last uint32) (map[uint32]uint32, error) {
	rsp, err := tpm2.GetCapability{
		Capability: tpm2.TPMCapTPMProperties, Property: first, PropertyCount: last - first + 1,
	}.Execute(b)
	if err != nil {
		return nil, b.fault("read the properties of the TPM", err)
	}
	list, err := rsp.CapabilityData.Data.TPMProperties()
	if err != nil {
		return nil, b.fault("read the properties of the TPM", err)
	}
	values := make(map[uint32]uint32)
	for _, p := range list.TPMProperty {
		values[uint32(p.Property)] = p.Value
	}
	return values, nil
}

func (b *bus) readDA() (DAState, error) {
	p, err := b.properties(ptLockoutCounter, ptLockoutRecovery)
	if err != nil {
		return DAState{}, err
	}
	return DAState{
		Used:     int(p[ptLockoutCounter]),
		Max:      int(p[ptMaxAuthFail]),
		Interval: time.Duration(p[ptLockoutInterval]) * time.Second,
		Recovery: time.Duration(p[ptLockoutRecovery]) * time.Second,
	}, nil
}

// setDA sends TPM2_DictionaryAttackParameters (Part 3, section 25.3), which
// go-tpm does not have, with the empty lockout authorisation.
func (b *bus) setDA(s DAState) error {
	const commandCode = 0x0000013A
	w := new(bytes.Buffer)
	for _, v := range []any{
		uint16(tpm2.TPMSTSessions), uint32(0), uint32(commandCode), uint32(tpm2.TPMRHLockout),
		uint32(9), uint32(tpm2.TPMRSPW), uint16(0), uint8(0), uint16(0),
		uint32(s.Max), uint32(s.Interval / time.Second), uint32(s.Recovery / time.Second),
	} {
		if err := binary.Write(w, binary.BigEndian, v); err != nil {
			return err
		}
	}
	command := w.Bytes()
	binary.BigEndian.PutUint32(command[2:], uint32(len(command)))
	answer, err := b.Send(command)
	if err != nil {
		return b.fault("set the lockout limits", err)
	}
	if rc := responseCode(answer); rc != tpm2.TPMRCSuccess {
		return fmt.Errorf("set the lockout limits (the lockout authorisation must be empty): %w", rc)
	}
	return nil
}

// identify fills in who the TPM is.
func (b *bus) identify(info *Info) error {
	p, err := b.properties(ptManufacturer, ptFirmware2)
	if err != nil {
		return err
	}
	vendor := words(p[ptManufacturer])
	var model string
	for id := uint32(ptVendorString1); id <= ptVendorString4; id++ {
		model += words(p[id])
	}
	info.Manufacturer = strings.TrimSpace(strings.TrimSpace(vendor) + " " + strings.Join(strings.Fields(model), " "))
	fw := p[ptFirmware1]
	info.Firmware = fmt.Sprintf("%d.%d", fw>>16, fw&0xFFFF)
	info.Simulated = b.src.owned() || softwareTPM(vendor, model)
	return nil
}

// softwareTPM knows the makers of TPMs in software: libtpms (swtpm, QEMU) and
// the reference implementation (our simulator, Hyper-V).
func softwareTPM(vendor, model string) bool {
	return vendor == "IBM" && strings.HasPrefix(model, "SW") || vendor == "MSFT"
}

// words reads the four characters of a property; only printable ones are taken.
func words(v uint32) string {
	var s []byte
	for _, c := range binary.BigEndian.AppendUint32(nil, v) {
		if c >= ' ' && c < 0x7F {
			s = append(s, c)
		}
	}
	return string(s)
}
