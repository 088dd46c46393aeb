// SPDX-License-Identifier: Apache-2.0

package export

import (
	"cmp"
	"context"
	"crypto/x509"
	_ "embed"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"text/template"

	"provisioning.example/station/internal/issuer"
)

// AWSOptions are what a pack for AWS IoT Core depends on besides the units.
type AWSOptions struct {
	TopicRoot string // under which devices publish; "": sensors
	Policy    string // name of the policy; "": station-device
	Template  string // name of the provisioning template; "": station-jitp
	Region    string // "": any, and to be filled in
	Account   string // 12 digits; "": any, and to be filled in
}

// Limits of the API (service model of AWS IoT, 2015-05-28).
const (
	awsMaxPEM      = 65536  // CertificatePem
	awsMaxValue    = 4096   // Value: of a parameter of RegisterThing, and so of a bulk line
	awsMaxTemplate = 10240  // TemplateBody
	awsMaxPolicy   = 404600 // PolicyDocument
)

var (
	awsPolicyName   = regexp.MustCompile(`^[\w+=,.@-]{1,128}$`)               // PolicyName
	awsTemplateName = regexp.MustCompile(`^[0-9A-Za-z_-]{1,36}$`)             // TemplateName
	awsAttribute    = regexp.MustCompile(`^[a-zA-Z0-9_.,@/:#=\[\]-]{0,800}$`) // AttributeValue
	awsRegion       = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]$`)        // as in eu-central-1
	awsAccount      = regexp.MustCompile(`^[0-9]{12}$`)
	// No wildcard, no policy variable, none of AWS's own topics.
	awsTopicRoot = regexp.MustCompile(`^[A-Za-z0-9_.:-]+(/[A-Za-z0-9_.:-]+)*$`)

	errAWSTopic    = errors.New("topic root; allowed: levels of A-Z a-z 0-9 _ . : - between /, up to 5, without wildcards")
	errAWSPolicy   = errors.New("policy name; allowed: 1 to 128 characters A-Z a-z 0-9 _ + = , . @ -")
	errAWSTemplate = errors.New("template name; allowed: 1 to 36 characters A-Z a-z 0-9 _ -")
	errAWSRegion   = errors.New("region; allowed: one like eu-central-1")
	errAWSAccount  = errors.New("account; allowed: 12 digits")
)

// awsTopicLevels leaves room for the thing's name and one level below it: a
// topic has at most 7 slashes.
const awsTopicLevels = 5

// Check says what of the options AWS IoT would refuse.
func (a AWSOptions) Check() error {
	a = a.filled()
	switch {
	case !awsTopicRoot.MatchString(a.TopicRoot) || len(a.TopicRoot) > 64 || strings.Count(a.TopicRoot, "/") >= awsTopicLevels:
		return fmt.Errorf("%q: %w", a.TopicRoot, errAWSTopic)
	case !awsPolicyName.MatchString(a.Policy):
		return fmt.Errorf("%q: %w", a.Policy, errAWSPolicy)
	case !awsTemplateName.MatchString(a.Template):
		return fmt.Errorf("%q: %w", a.Template, errAWSTemplate)
	case a.Region != "" && !awsRegion.MatchString(a.Region):
		return fmt.Errorf("%q: %w", a.Region, errAWSRegion)
	case a.Account != "" && !awsAccount.MatchString(a.Account):
		return fmt.Errorf("%q: %w", a.Account, errAWSAccount)
	}
	return nil
}

func (a AWSOptions) filled() AWSOptions {
	a.TopicRoot = cmp.Or(a.TopicRoot, "sensors")
	a.Policy = cmp.Or(a.Policy, "station-device")
	a.Template = cmp.Or(a.Template, "station-jitp")
	return a
}

// aws is a pack for AWS IoT Core being written.
type aws struct {
	AWSOptions
	d       *folder
	o       *PackOptions
	bulk    *folderFile
	issuers map[string]*x509.Certificate // of live units, by key id: the ones to register
	subject bool                         // every unit so far has its serial in the subject
}

func newAWS(d *folder, o *PackOptions, _ *units) (service, error) {
	if err := o.AWS.Check(); err != nil {
		return nil, err
	}
	bulk, err := d.create("bulk.jsonl")
	if err != nil {
		return nil, err
	}
	return &aws{AWSOptions: o.AWS.filled(), d: d, o: o, bulk: bulk, issuers: map[string]*x509.Certificate{}, subject: true}, nil
}

// awsLine is one line of a bulk registration: the parameters of bulk-template.json.
type awsLine struct {
	ThingName        string
	SerialNumber     string
	Model            string
	CertificatePem   string
	CACertificatePem string
}

func (a *aws) line(u *unit) awsLine {
	return awsLine{u.name(), u.entry.Body.Serial, u.entry.Body.Model, u.certPEM(), u.issuedBy()}
}

func (a *aws) check(u *unit) error {
	if err := issuer.CheckThingName(u.name()); err != nil {
		return limit(err)
	}
	l := a.line(u)
	for _, v := range []struct{ what, value string }{{"serial number", l.SerialNumber}, {"model", l.Model}, {"subject's serialNumber", u.leaf.Subject.SerialNumber}} {
		if !awsAttribute.MatchString(v.value) {
			return limit(fmt.Errorf("%s %q cannot be a thing's attribute; allowed by AWS IoT: A-Z a-z 0-9 _ . , @ / : # = [ ] -", v.what, v.value))
		}
	}
	for _, v := range []struct{ what, value string }{{"certificate", l.CertificatePem}, {"its issuer's certificate", l.CACertificatePem}} {
		if n := len(v.value); n > awsMaxValue {
			return limit(fmt.Errorf("%s has %d characters in PEM; allowed by AWS IoT: %d in a bulk registration", v.what, n, awsMaxValue))
		}
	}
	if u.leaf.PublicKeyAlgorithm == x509.Ed25519 {
		return limit(errors.New("Ed25519 keys are unknown to AWS IoT; allowed: P-256, P-384, P-521, RSA"))
	}
	return nil
}

func (a *aws) add(u *unit) error {
	a.subject = a.subject && u.leaf.Subject.SerialNumber != ""
	a.issuers[u.entry.Body.IssuerKey] = u.issuer
	return a.bulk.line(a.line(u))
}

// bar has nothing to do: what is not on the allow-list as live is not activated.
func (a *aws) bar(context.Context, *unit) error { return nil }

//go:embed text/aws.md
var awsReadme string

func (a *aws) documents(counts packCounts) error {
	if counts.Registered == 0 {
		a.subject = false
	}
	current := a.o.Chain[0]
	files := []struct {
		name string
		most int
		doc  any
	}{
		{"policy.json", awsMaxPolicy, a.policy()},
		{"provisioning-template.json", awsMaxTemplate, a.jitp()},
		{"bulk-template.json", awsMaxTemplate, a.bulkTemplate()},
		{"role-trust.json", 2048, awsRoleTrust},
	}
	for _, f := range files {
		text, err := indented(f.doc)
		if err == nil && len(text) > f.most {
			err = fmt.Errorf("%d characters; allowed by AWS: %d", len(text), f.most)
		}
		if err == nil {
			err = a.d.text(f.name, text)
		}
		if err != nil {
			return fmt.Errorf("export: %s: %w", f.name, err)
		}
	}
	cas := []packCA{{"ca.pem", current}}
	for id, c := range sorted(a.issuers) {
		if !c.Equal(current) {
			cas = append(cas, packCA{"ca-" + id + ".pem", c})
		}
	}
	for _, ca := range cas {
		text := certPEM(ca.Certificate)
		if len(text) > awsMaxPEM {
			return fmt.Errorf("export: %s has %d characters; allowed by AWS IoT: %d", ca.File, len(text), awsMaxPEM)
		}
		if err := a.d.text(ca.File, text); err != nil {
			return err
		}
	}
	return a.d.readme(awsReadme, packPage{packCounts: counts, Options: a.o, AWS: a.AWSOptions, CAs: cas, Subject: a.subject})
}

// awsPolicy is an IoT policy in the language of IAM.
type awsPolicy struct {
	Version   string
	Statement []awsStatement
}

type awsStatement struct {
	Effect    string
	Action    []string
	Resource  string            `json:",omitempty"`
	Principal map[string]string `json:",omitempty"`
}

// policy lets a device connect as itself and publish below its own name, and
// nothing else. The name is that of the thing its certificate is attached to.
func (a *aws) policy() awsPolicy {
	arn := fmt.Sprintf("arn:aws:iot:%s:%s:", cmp.Or(a.Region, "*"), cmp.Or(a.Account, "*"))
	const thing = "${iot:Connection.Thing.ThingName}"
	return awsPolicy{"2012-10-17", []awsStatement{
		{Effect: "Allow", Action: []string{"iot:Connect"}, Resource: arn + "client/" + thing},
		{Effect: "Allow", Action: []string{"iot:Publish"}, Resource: arn + "topic/" + a.TopicRoot + "/" + thing + "/*"},
	}}
}

var awsRoleTrust = awsPolicy{"2012-10-17", []awsStatement{
	{Effect: "Allow", Action: []string{"sts:AssumeRole"}, Principal: map[string]string{"Service": "iot.amazonaws.com"}},
}}

// awsTemplate is a provisioning template.
type awsTemplate struct {
	Parameters map[string]awsParameter
	Resources  map[string]awsResource
}

type awsParameter struct{ Type string }

type awsResource struct {
	Type             string
	Properties       map[string]any
	OverrideSettings map[string]string `json:",omitempty"`
}

type awsRef struct{ Ref string }

const awsFromCertificate = "AWS::IoT::Certificate::"

// jitp is the template for just-in-time provisioning. Its parameters come from
// the certificate's subject; one that the subject lacks fails the device, so the
// serial number is asked for only where every unit has it.
func (a *aws) jitp() awsTemplate {
	parameters := []string{"CommonName", "Id"}
	var attributes map[string]any
	if a.subject {
		parameters = append(parameters, "SerialNumber")
		attributes = map[string]any{"SerialNumber": awsRef{awsFromCertificate + "SerialNumber"}}
	}
	for i, p := range parameters {
		parameters[i] = awsFromCertificate + p
	}
	return a.template(parameters, awsFromCertificate+"CommonName", attributes, map[string]any{
		"CertificateId": awsRef{awsFromCertificate + "Id"}, "Status": "ACTIVE",
	})
}

// bulkTemplate goes with bulk.jsonl: the certificates are ours, so they are
// registered and not made.
func (a *aws) bulkTemplate() awsTemplate {
	return a.template([]string{"ThingName", "SerialNumber", "Model", "CertificatePem", "CACertificatePem"}, "ThingName",
		map[string]any{"SerialNumber": awsRef{"SerialNumber"}, "Model": awsRef{"Model"}},
		map[string]any{"CertificatePem": awsRef{"CertificatePem"}, "CACertificatePem": awsRef{"CACertificatePem"}, "Status": "ACTIVE"})
}

func (a *aws) template(parameters []string, name string, attributes, certificate map[string]any) awsTemplate {
	t := awsTemplate{Parameters: map[string]awsParameter{}, Resources: map[string]awsResource{}}
	for _, p := range parameters {
		t.Parameters[p] = awsParameter{"String"}
	}
	thing := awsResource{Type: "AWS::IoT::Thing", Properties: map[string]any{"ThingName": awsRef{name}}}
	if attributes != nil {
		thing.Properties["AttributePayload"] = attributes
		thing.OverrideSettings = map[string]string{"AttributePayload": "MERGE"}
	}
	t.Resources["thing"] = thing
	t.Resources["certificate"] = awsResource{Type: "AWS::IoT::Certificate", Properties: certificate}
	// The policy is attached to the certificate, not to the thing.
	t.Resources["policy"] = awsResource{Type: "AWS::IoT::Policy", Properties: map[string]any{"PolicyName": a.Policy}}
	return t
}

// packCA is a file with a CA certificate.
type packCA struct {
	File string
	*x509.Certificate
}

// packPage is what the readme of a pack is filled from.
type packPage struct {
	packCounts
	Options *PackOptions
	CAs     []packCA
	AWS     AWSOptions
	Subject bool // the subject of every unit has its serial number
	Azure   AzureOptions
	Barred  int64
}

// Status is how many certificates have a status.
func (p packPage) Status(s Status) int64 { return p.byStatus[s] }

func (d *folder) readme(text string, page packPage) error {
	t, err := template.New("README.md").Option("missingkey=error").Parse(text)
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	var b strings.Builder
	if err := t.Execute(&b, page); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return d.text("README.md", b.String())
}
