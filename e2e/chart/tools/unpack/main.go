// Command unpack reads rendered manifests from standard input and lays the files of the
// gateway's container into a folder, as the kubelet would: what a ConfigMap in them has,
// and for secrets, which are not there, something of the right kind. It prints the
// container's variables, one a line. The configuration then names files in the folder.
//
//	helm template chat helm | unpack /tmp/pod
package main

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// root is where the chart mounts files, the only path that moves into the folder.
const root = "/etc/fanwire"

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: unpack FOLDER <MANIFESTS")
		os.Exit(2)
	}
	if err := run(os.Stdin, os.Stdout, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "unpack:", err)
		os.Exit(1)
	}
}

// folder is where files go, with the material for secrets.
type folder struct {
	path      string
	cert, key []byte // PEM
	maps      map[string]*corev1.ConfigMap
}

func run(in io.Reader, out io.Writer, at string) error {
	pod, maps, err := read(in)
	if err != nil {
		return err
	}
	f := folder{path: at, maps: maps}
	if f.cert, f.key, err = certificate(); err != nil {
		return err
	}
	volumes := make(map[string]corev1.Volume)
	for _, v := range pod.Volumes {
		volumes[v.Name] = v
	}
	for _, c := range pod.Containers {
		if c.Name != "fanwire" {
			continue
		}
		for _, m := range c.VolumeMounts {
			v, ok := volumes[m.Name]
			if !ok {
				return fmt.Errorf("mount %s: there is no such volume", m.Name)
			}
			if err := f.volume(v, m.MountPath); err != nil {
				return fmt.Errorf("volume %s: %w", m.Name, err)
			}
		}
		for _, e := range c.Env {
			fmt.Fprintf(out, "%s=%s\n", e.Name, f.moved(e.Value))
		}
		return nil
	}
	return errors.New("there is no container fanwire")
}

// read finds the gateway's pod and the ConfigMaps.
func read(in io.Reader) (*corev1.PodSpec, map[string]*corev1.ConfigMap, error) {
	var pod *corev1.PodSpec
	maps := make(map[string]*corev1.ConfigMap)
	docs := utilyaml.NewYAMLReader(bufio.NewReader(in))
	for {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, err
		}
		var head metav1.TypeMeta
		if err := yaml.Unmarshal(doc, &head); err != nil {
			return nil, nil, err
		}
		switch head.Kind {
		case "ConfigMap":
			var m corev1.ConfigMap
			if err := yaml.UnmarshalStrict(doc, &m); err != nil {
				return nil, nil, err
			}
			maps[m.Name] = &m
		case "Deployment":
			var d appsv1.Deployment
			if err := yaml.UnmarshalStrict(doc, &d); err != nil {
				return nil, nil, err
			}
			if d.Labels["app.kubernetes.io/component"] == "gateway" {
				pod = &d.Spec.Template.Spec
			}
		}
	}
	if pod == nil {
		return nil, nil, errors.New("there is no gateway")
	}
	return pod, maps, nil
}

func (f *folder) volume(v corev1.Volume, mount string) error {
	switch {
	case v.ConfigMap != nil:
		m, ok := f.maps[v.ConfigMap.Name]
		if !ok {
			return fmt.Errorf("there is no ConfigMap %s", v.ConfigMap.Name)
		}
		for name, text := range m.Data {
			if err := f.write(path.Join(mount, name), []byte(f.moved(text)), v.ConfigMap.DefaultMode); err != nil {
				return err
			}
		}
	case v.Secret != nil:
		for _, name := range []string{"tls.crt", "tls.key", "ca.crt"} {
			if err := f.write(path.Join(mount, name), f.secret(name), v.Secret.DefaultMode); err != nil {
				return err
			}
		}
	case v.Projected != nil:
		for _, s := range v.Projected.Sources {
			for _, item := range s.Secret.Items {
				if err := f.write(path.Join(mount, item.Path), f.secret(item.Path), v.Projected.DefaultMode); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (f *folder) write(name string, data []byte, mode *int32) error {
	if !strings.HasPrefix(name, root) {
		return fmt.Errorf("%s is not below %s", name, root)
	}
	name = filepath.Join(f.path, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	perm := fs.FileMode(0o644) // what Kubernetes takes without one
	if mode != nil {
		perm = fs.FileMode(*mode)
	}
	if err := os.WriteFile(name, data, 0o600); err != nil {
		return err
	}
	return os.Chmod(name, perm)
}

func (f *folder) moved(text string) string {
	return strings.ReplaceAll(text, root+"/", filepath.Join(f.path, root)+"/")
}

// secret makes up what a file of this name would have.
func (f *folder) secret(name string) []byte {
	switch {
	case strings.HasSuffix(name, ".key"):
		return f.key
	case strings.HasSuffix(name, ".crt"), strings.HasSuffix(name, ".pem"):
		return f.cert
	case strings.HasSuffix(name, ".json"):
		return []byte(`{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`)
	case name == "admin-ui-password-hash":
		return []byte("$2b$10$" + strings.Repeat("a", 53))
	}
	return append([]byte(name), bytes.Repeat([]byte("."), 40)...) // no two are the same
}

// certificate makes one with its key, PEM.
func certificate() (cert, key []byte, err error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "chart check"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), nil
}
