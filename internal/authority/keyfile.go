// SPDX-License-Identifier: Apache-2.0

package authority

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"provisioning.example/station/internal/audit/ceremony"
)

// A root's key file is PKCS#8, encrypted by PBES2 (RFC 8018 6.2) with PBKDF2
// over HMAC-SHA-256 and AES-256-CBC: what `openssl pkey` reads and what
// `openssl genpkey -aes-256-cbc` writes. Other schemes are not read.

const (
	keyRounds    = 600_000   // of PBKDF2, for new files
	minRounds    = 1_000     // openssl writes 2048
	maxRounds    = 5_000_000 // some seconds; more would be an attack on our time
	minPassword  = 12        // bytes of a new passphrase
	maxPassword  = 1024
	maxKeyCipher = 8 << 10
)

var (
	oidPBES2      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidHMACSHA256 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}
	oidAES256CBC  = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
)

// sealedKey is an encrypted key file, taken apart.
type sealedKey struct {
	salt, iv, ciphertext []byte
	rounds               int
}

// sealKey encrypts a private key under a passphrase and returns the PEM file.
func sealKey(key crypto.Signer, passphrase []byte) ([]byte, error) {
	if len(passphrase) < minPassword || len(passphrase) > maxPassword {
		return nil, fmt.Errorf("passphrase of %d bytes; allowed: %d to %d", len(passphrase), minPassword, maxPassword)
	}
	plain, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode private key: %w", err)
	}
	defer clear(plain)
	s := &sealedKey{salt: make([]byte, 16), iv: make([]byte, aes.BlockSize), rounds: keyRounds}
	rand.Read(s.salt)
	rand.Read(s.iv)
	block, err := s.cipher(passphrase)
	if err != nil {
		return nil, err
	}
	// Padding of RFC 5652 6.3: as many bytes as are added, at least one.
	pad := aes.BlockSize - len(plain)%aes.BlockSize
	s.ciphertext = make([]byte, len(plain)+pad)
	copy(s.ciphertext, plain)
	for i := range pad {
		s.ciphertext[len(plain)+i] = byte(pad)
	}
	cipher.NewCBCEncrypter(block, s.iv).CryptBlocks(s.ciphertext, s.ciphertext)
	der, err := s.encode()
	if err != nil {
		return nil, err
	}
	return appendPEM(nil, labelKey, der), nil
}

// openKey decrypts a key file. A passphrase that is not the file's gives [ErrPassphrase].
func openKey(text, passphrase []byte) (crypto.Signer, error) {
	found, err := ceremony.Blocks(text)
	if err != nil {
		return nil, err
	}
	if len(found) != 1 || found[0].Type != labelKey {
		return nil, fmt.Errorf("the key file must be one PEM block %s", labelKey)
	}
	s, err := parseSealedKey(found[0])
	if err != nil {
		return nil, err
	}
	block, err := s.cipher(passphrase)
	if err != nil {
		return nil, err
	}
	plain := make([]byte, len(s.ciphertext))
	defer clear(plain)
	cipher.NewCBCDecrypter(block, s.iv).CryptBlocks(plain, s.ciphertext)
	pad := int(plain[len(plain)-1])
	if pad == 0 || pad > aes.BlockSize {
		return nil, ErrPassphrase
	}
	key, err := x509.ParsePKCS8PrivateKey(plain[:len(plain)-pad])
	if err != nil {
		return nil, ErrPassphrase
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("the key file holds a %T, which cannot sign", key)
	}
	return signer, nil
}

func (s *sealedKey) cipher(passphrase []byte) (cipher.Block, error) {
	key, err := pbkdf2.Key(sha256.New, string(passphrase), s.salt, s.rounds, 32)
	if err != nil {
		return nil, fmt.Errorf("derive key from passphrase: %w", err)
	}
	defer clear(key)
	return aes.NewCipher(key)
}

// encode writes EncryptedPrivateKeyInfo (RFC 5958 3).
func (s *sealedKey) encode() ([]byte, error) {
	var b cryptobyte.Builder
	sequence := func(b *cryptobyte.Builder, oid asn1.ObjectIdentifier, parameters func(b *cryptobyte.Builder)) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oid)
			parameters(b)
		})
	}
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		sequence(b, oidPBES2, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				sequence(b, oidPBKDF2, func(b *cryptobyte.Builder) {
					b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddASN1OctetString(s.salt)
						b.AddASN1Int64(int64(s.rounds))
						sequence(b, oidHMACSHA256, (*cryptobyte.Builder).AddASN1NULL)
					})
				})
				sequence(b, oidAES256CBC, func(b *cryptobyte.Builder) { b.AddASN1OctetString(s.iv) })
			})
		})
		b.AddASN1OctetString(s.ciphertext)
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encode key file: %w", err)
	}
	return der, nil
}

// parseSealedKey reads what encode writes and, of the same form, what openssl writes.
func parseSealedKey(block *pem.Block) (*sealedKey, error) {
	var (
		s                                    sealedKey
		info, scheme, params, kdf, kdfParams cryptobyte.String
		prf, null, encryption                cryptobyte.String
		pbes2, pbkdf2ID, hmacID, aesID       asn1.ObjectIdentifier
		salt, iv, ciphertext                 cryptobyte.String
		in                                   = cryptobyte.String(block.Bytes)
		wrong                                = errors.New("the key file is not PKCS#8 encrypted with PBES2, PBKDF2 HMAC-SHA-256 and AES-256-CBC (openssl pkcs8 -topk8 -v2 aes-256-cbc makes one)")
		read                                 = (*cryptobyte.String).ReadASN1
	)
	if !read(&in, &info, cbasn1.SEQUENCE) || !in.Empty() ||
		!read(&info, &scheme, cbasn1.SEQUENCE) || !read(&info, &ciphertext, cbasn1.OCTET_STRING) || !info.Empty() ||
		!scheme.ReadASN1ObjectIdentifier(&pbes2) || !pbes2.Equal(oidPBES2) ||
		!read(&scheme, &params, cbasn1.SEQUENCE) || !scheme.Empty() ||
		!read(&params, &kdf, cbasn1.SEQUENCE) || !read(&params, &encryption, cbasn1.SEQUENCE) || !params.Empty() {
		return nil, wrong
	}
	if !kdf.ReadASN1ObjectIdentifier(&pbkdf2ID) || !pbkdf2ID.Equal(oidPBKDF2) ||
		!read(&kdf, &kdfParams, cbasn1.SEQUENCE) || !kdf.Empty() ||
		!read(&kdfParams, &salt, cbasn1.OCTET_STRING) || !kdfParams.ReadASN1Integer(&s.rounds) ||
		!read(&kdfParams, &prf, cbasn1.SEQUENCE) || !kdfParams.Empty() ||
		!prf.ReadASN1ObjectIdentifier(&hmacID) || !hmacID.Equal(oidHMACSHA256) ||
		!read(&prf, &null, cbasn1.NULL) || !null.Empty() || !prf.Empty() {
		return nil, wrong
	}
	if !encryption.ReadASN1ObjectIdentifier(&aesID) || !aesID.Equal(oidAES256CBC) ||
		!read(&encryption, &iv, cbasn1.OCTET_STRING) || !encryption.Empty() {
		return nil, wrong
	}
	if s.rounds < minRounds || s.rounds > maxRounds || len(salt) < 8 || len(salt) > 64 || len(iv) != aes.BlockSize ||
		len(ciphertext) == 0 || len(ciphertext)%aes.BlockSize != 0 || len(ciphertext) > maxKeyCipher {
		return nil, fmt.Errorf("the key file has sizes out of range: %d rounds, %d bytes of salt, %d of key; allowed: %d to %d rounds",
			s.rounds, len(salt), len(ciphertext), minRounds, maxRounds)
	}
	s.salt, s.iv, s.ciphertext = salt, iv, ciphertext
	return &s, nil
}
