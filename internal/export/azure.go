// SPDX-License-Identifier: Apache-2.0

package export

import (
	"cmp"
	"context"
	"crypto/x509"
	_ "embed"
	"errors"
	"fmt"
	"iter"
	"maps"
	"regexp"
	"slices"

	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// AzureOptions are what a pack for Azure depends on besides the units.
type AzureOptions struct {
	Group      string // name of the enrollment group; "": station
	Individual bool   // an individual enrollment for each unit besides
}

// azureGroup is what an enrollmentGroupId may be (REST API of the Device
// Provisioning Service, 2021-10-01): the last character a letter, digit or hyphen.
var azureGroup = regexp.MustCompile(`^[a-z0-9._:-]{0,127}[a-z0-9-]$`)

// azureMaxDevices is how many devices an IoT Hub, and a Device Provisioning
// Service, can know.
const azureMaxDevices = 1_000_000

// Check says what of the options Azure would refuse.
func (a AzureOptions) Check() error {
	if id := cmp.Or(a.Group, "station"); !azureGroup.MatchString(id) {
		return fmt.Errorf("enrollment group %q; allowed: 1 to 128 characters a-z, 0-9, - . _ :, the last a letter, digit or -", id)
	}
	return nil
}

// azure is a pack for the Device Provisioning Service and IoT Hub being written.
type azure struct {
	AzureOptions
	d          *folder
	o          *PackOptions
	units      *units
	devices    *folderFile
	individual *folderFile // nil: not wanted
	disabled   *folderFile // nil: nothing yet
	barred     int64
	registered int64
	issuers    map[string]*x509.Certificate
}

func newAzure(d *folder, o *PackOptions, w *units) (service, error) {
	if err := o.Azure.Check(); err != nil {
		return nil, err
	}
	a := &azure{AzureOptions: o.Azure, d: d, o: o, units: w, issuers: map[string]*x509.Certificate{}}
	a.Group = cmp.Or(a.Group, "station")
	var err error
	if a.devices, err = d.create("devices.txt"); err == nil && a.Individual {
		a.individual, err = d.create("individual-enrollments.jsonl")
	}
	return a, err
}

func (a *azure) check(u *unit) error {
	if u.leaf.PublicKeyAlgorithm == x509.Ed25519 {
		return limit(errors.New("Ed25519 keys are unknown to Azure; allowed: P-256, P-384, RSA"))
	}
	return limit(issuer.CheckRegistrationID(u.name()))
}

// azureDevice is a line of IoT Hub's bulk import.
type azureDevice struct {
	ID             string           `json:"id"`
	ImportMode     string           `json:"importMode"`
	Status         string           `json:"status"`
	Authentication azureDeviceProof `json:"authentication"`
}

type azureDeviceProof struct {
	Type string `json:"type"`
}

func (a *azure) add(u *unit) error {
	if a.registered++; a.registered > azureMaxDevices {
		return fmt.Errorf("more than %d devices, which no hub knows: export by work order", azureMaxDevices)
	}
	a.issuers[u.entry.Body.IssuerKey] = u.issuer
	err := a.devices.line(azureDevice{u.name(), "create", "enabled", azureDeviceProof{"certificateAuthority"}})
	if err == nil && a.individual != nil {
		err = a.individual.line(enrollment(u, "enabled"))
	}
	return err
}

// azureEnrollment is an individual enrollment.
type azureEnrollment struct {
	RegistrationID string           `json:"registrationId"`
	DeviceID       string           `json:"deviceId"`
	Attestation    azureAttestation `json:"attestation"`
	Status         string           `json:"provisioningStatus"`
}

type azureAttestation struct {
	Type string    `json:"type"`
	X509 azureX509 `json:"x509"`
}

type azureX509 struct {
	Client  *azureCertificates `json:"clientCertificates,omitempty"`
	Signing *azureCertificates `json:"signingCertificates,omitempty"`
}

type azureCertificates struct {
	Primary azureCertificate `json:"primary"`
}

type azureCertificate struct {
	Certificate string `json:"certificate"`
}

func enrollment(u *unit, status string) azureEnrollment {
	return azureEnrollment{u.name(), u.name(), azureAttestation{"x509", azureX509{Client: &azureCertificates{azureCertificate{u.certPEM()}}}}, status}
}

// bar keeps a revoked or scrapped unit out of the group, which takes whatever
// the intermediate signed: a disabled enrollment of its own goes before the
// group's. Another unit that has the name now must not be kept out with it.
func (a *azure) bar(ctx context.Context, u *unit) error {
	if u.status != Revoked && u.status != Scrapped && u.status != Reworked || issuer.CheckRegistrationID(u.name()) != nil {
		return nil
	}
	again, err := a.issuedAgain(ctx, u)
	if err != nil || again {
		return err
	}
	if a.disabled == nil {
		if a.disabled, err = a.d.create("disabled-enrollments.jsonl"); err != nil {
			return err
		}
	}
	a.barred++
	return a.disabled.line(enrollment(u, "disabled"))
}

// issuedAgain says whether the unit's serial has a later certificate.
func (a *azure) issuedAgain(ctx context.Context, u *unit) (bool, error) {
	for _, kind := range []string{record.KindIssued, record.KindRenewed} {
		for e, err := range a.units.ledger.RawOf(ctx, reader.Query{Serial: u.entry.Body.Serial, Kinds: []string{kind}}) {
			if err != nil {
				return false, err
			}
			if reader.ID(e.Epoch, e.Seq) > reader.ID(u.entry.Epoch, u.entry.Seq) {
				return true, nil
			}
		}
	}
	return false, nil
}

// azureGroupBody is an enrollment group.
type azureGroupBody struct {
	ID          string           `json:"enrollmentGroupId"`
	Attestation azureAttestation `json:"attestation"`
	Status      string           `json:"provisioningStatus"`
	Allocation  string           `json:"allocationPolicy"`
	Reprovision azureReprovision `json:"reprovisionPolicy"`
}

type azureReprovision struct {
	UpdateHubAssignment bool `json:"updateHubAssignment"`
	MigrateDeviceData   bool `json:"migrateDeviceData"`
}

//go:embed text/azure.md
var azureReadme string

func (a *azure) documents(counts packCounts) error {
	cas := []packCA{{"ca.pem", a.o.Chain[0]}}
	for id, c := range sorted(a.issuers) {
		if !c.Equal(a.o.Chain[0]) {
			cas = append(cas, packCA{"ca-" + id + ".pem", c})
		}
	}
	for i, ca := range cas {
		name, group := "enrollment-group.json", a.Group
		if i > 0 {
			name, group = fmt.Sprintf("enrollment-group-%d.json", i+1), fmt.Sprintf("%s-%d", a.Group, i+1)
		}
		err := a.d.document(name, azureGroupBody{
			group,
			azureAttestation{"x509", azureX509{Signing: &azureCertificates{azureCertificate{certPEM(ca.Certificate)}}}},
			"enabled", "hashed",
			azureReprovision{true, true},
		})
		if err == nil {
			err = a.d.text(ca.File, certPEM(ca.Certificate))
		}
		if err != nil {
			return err
		}
	}
	if err := a.d.text("root.pem", certPEM(a.o.Chain[len(a.o.Chain)-1])); err != nil {
		return err
	}
	return a.d.readme(azureReadme, packPage{packCounts: counts, Options: a.o, Azure: a.AzureOptions, CAs: cas, Barred: a.barred})
}

// sorted goes through a map in the order of its keys.
func sorted[V any](m map[string]V) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}
