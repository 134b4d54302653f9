package main

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// identity is who the server is, and who its administrator is, in PEM.
type identity struct {
	authority, clientCertificate, clientKey []byte
}

// makeIdentity writes what kube-apiserver reads: ca.crt, server.crt, server.key, tokens.csv.
func makeIdentity(folder string) (identity, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return identity{}, err
	}
	now := time.Now()
	template := x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "authority of a test"},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(24 * time.Hour),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		return identity{}, err
	}
	authority, err := x509.ParseCertificate(der)
	if err != nil {
		return identity{}, err
	}
	sign := func(serial int64, name pkix.Name, usage x509.ExtKeyUsage) (certificate, keyText []byte, err error) {
		leaf := x509.Certificate{
			SerialNumber: big.NewInt(serial),
			Subject:      name,
			NotBefore:    template.NotBefore,
			NotAfter:     template.NotAfter,
			KeyUsage:     x509.KeyUsageDigitalSignature,
			ExtKeyUsage:  []x509.ExtKeyUsage{usage},
			IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
			DNSNames:     []string{"localhost"},
		}
		leafKey, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return nil, nil, err
		}
		der, err := x509.CreateCertificate(rand.Reader, &leaf, authority, leafKey.Public(), crypto.Signer(key))
		if err != nil {
			return nil, nil, err
		}
		keyDER, err := x509.MarshalPKCS8PrivateKey(leafKey)
		if err != nil {
			return nil, nil, err
		}
		return pemOf("CERTIFICATE", der), pemOf("PRIVATE KEY", keyDER), nil
	}
	server, serverKey, err := sign(2, pkix.Name{CommonName: "kube-apiserver"}, x509.ExtKeyUsageServerAuth)
	if err != nil {
		return identity{}, err
	}
	admin := pkix.Name{CommonName: "administrator", Organization: []string{"system:masters"}}
	client, clientKey, err := sign(3, admin, x509.ExtKeyUsageClientAuth)
	if err != nil {
		return identity{}, err
	}
	made := identity{pemOf("CERTIFICATE", der), client, clientKey}
	files := map[string][]byte{
		"ca.crt":     made.authority,
		"server.crt": server,
		"server.key": serverKey,
		"tokens.csv": []byte(adminToken + ",administrator,administrator,system:masters\n"),
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			return identity{}, err
		}
	}
	return made, nil
}

// trust is a client's: the authority alone.
func (made identity) trust() *tls.Config {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(made.authority)
	return &tls.Config{RootCAs: roots}
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
