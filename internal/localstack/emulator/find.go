package emulator

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A kind is one of the two emulators: where its jar lies in the SDK, and how
// java runs it.
type kind struct {
	name string // in messages
	env  string // variable that names a given one
	jars string // glob below the SDK root
	main string // class to start
	args []string
}

var (
	// The manifest of the Firestore jar names no main class. The heap limit
	// keeps an hour of tests below 400 MB.
	firestore = kind{
		name: "Firestore emulator",
		env:  FirestoreHostEnv,
		jars: "platform/cloud-firestore-emulator/cloud-firestore-emulator*.jar",
		main: "com.google.cloud.datastore.emulator.firestore.CloudFirestore",
		args: []string{"start"},
	}
	pubsub = kind{
		name: "Pub/Sub emulator",
		env:  PubSubHostEnv,
		jars: "platform/pubsub-emulator/lib/cloud-pubsub-emulator*.jar",
		main: "com.google.cloud.pubsub.testing.v1.Main",
	}
)

// A command is a kind that was found on this machine.
type command struct {
	java, jar string
	kind      kind
}

func (c command) String() string { return fmt.Sprintf("%s with %s", filepath.Base(c.jar), c.java) }

// args is the command line for one port and a heap of some MiB. The host is
// always passed: gcloud's default is the IPv6 loopback address.
func (c command) args(port, heap int) []string {
	args := []string{"-Duser.language=en", fmt.Sprintf("-Xmx%dm", heap), "-cp", c.jar, c.kind.main}
	args = append(args, c.kind.args...)
	return append(args, "--host=127.0.0.1", fmt.Sprintf("--port=%d", port))
}

// find looks for SDK, jar and a java that is new enough for the jar's classes.
// If one is missing, the error is ErrNotInstalled with the reason.
func (k kind) find(ctx context.Context) (command, error) {
	root, err := FindSDK(ctx)
	if err != nil {
		return command{}, err
	}
	jars, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(k.jars)))
	if err != nil || len(jars) == 0 {
		return command{}, fmt.Errorf("%w: no %s below %s", ErrNotInstalled, k.jars, root)
	}
	slices.Sort(jars)
	jar := jars[len(jars)-1]
	need, err := classRelease(jar, k.main)
	if err != nil {
		return command{}, err
	}
	java, have, err := findJava(ctx)
	if err != nil {
		return command{}, err
	}
	if have < need {
		return command{}, fmt.Errorf("%w: %s is Java %d, %s needs %d or newer", ErrNotInstalled, java, have, jar, need)
	}
	return command{java: java, jar: jar, kind: k}, nil
}

// FindSDK returns the root folder of the installed Google Cloud SDK, the one
// with platform/ in it. It follows the gcloud on PATH through links and upward;
// only where gcloud is a wrapper that lies elsewhere does it run gcloud and ask.
// The error is ErrNotInstalled or that of ctx.
func FindSDK(ctx context.Context) (string, error) {
	gcloud, err := exec.LookPath("gcloud")
	if err != nil {
		return "", fmt.Errorf("%w: no gcloud on PATH", ErrNotInstalled)
	}
	if target, err := filepath.EvalSymlinks(gcloud); err == nil {
		if target, err = filepath.Abs(target); err == nil {
			for dir := filepath.Dir(target); ; dir = filepath.Dir(dir) {
				if hasPlatform(dir) {
					return dir, nil
				}
				if dir == filepath.Dir(dir) {
					break
				}
			}
		}
	}
	ask, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ask, gcloud, "info", "--format=value(installation.sdk_root)").Output()
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if root := strings.TrimSpace(string(out)); err == nil && hasPlatform(root) {
		return root, nil
	}
	return "", fmt.Errorf("%w: no Google Cloud SDK folder around %s, and gcloud info names none", ErrNotInstalled, gcloud)
}

func hasPlatform(dir string) bool {
	info, err := os.Stat(filepath.Join(dir, "platform"))
	return dir != "" && err == nil && info.IsDir()
}

var javaVersion = regexp.MustCompile(`version "(\d+)(?:\.(\d+))?`)

// findJava returns the path of java ($JAVA_HOME first, then PATH) and its
// feature release, such as 8 or 17.
func findJava(ctx context.Context) (path string, release int, _ error) {
	if home := os.Getenv("JAVA_HOME"); home != "" {
		path, _ = exec.LookPath(filepath.Join(home, "bin", "java"))
	}
	if path == "" {
		var err error
		if path, err = exec.LookPath("java"); err != nil {
			return "", 0, fmt.Errorf("%w: no java in JAVA_HOME or on PATH", ErrNotInstalled)
		}
	}
	ask, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ask, path, "-version").CombinedOutput()
	if ctx.Err() != nil {
		return "", 0, ctx.Err()
	}
	release, ok := parseJavaVersion(string(out))
	if err != nil || !ok {
		return "", 0, fmt.Errorf("%w: %s -version prints no version (error %v, output %.200q)", ErrNotInstalled, path, err, out)
	}
	return path, release, nil
}

// parseJavaVersion reads `openjdk version "17.0.15"` and the old `"1.8.0_391"`.
func parseJavaVersion(out string) (release int, ok bool) {
	m := javaVersion.FindStringSubmatch(out)
	if m == nil {
		return 0, false
	}
	digits := m[1]
	if digits == "1" && m[2] != "" {
		digits = m[2]
	}
	release, err := strconv.Atoi(digits)
	return release, err == nil
}

// classRelease returns the Java release that a class in a jar was compiled for,
// read from the class file itself: the SDK raises it without notice.
func classRelease(jar, class string) (int, error) {
	r, err := zip.OpenReader(jar)
	if err != nil {
		return 0, fmt.Errorf("open %s: %w", jar, err)
	}
	defer r.Close()
	f, err := r.Open(strings.ReplaceAll(class, ".", "/") + ".class")
	if errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("%w: %s has no class %s, its SDK is older or newer than the known ones", ErrNotInstalled, jar, class)
	}
	if err != nil {
		return 0, fmt.Errorf("read class %s in %s: %w", class, jar, err)
	}
	defer f.Close()
	var head [8]byte // magic, minor, major
	if _, err := io.ReadFull(f, head[:]); err != nil || !bytes.HasPrefix(head[:], []byte{0xca, 0xfe, 0xba, 0xbe}) {
		return 0, fmt.Errorf("read class %s in %s: no class file", class, jar)
	}
	return int(binary.BigEndian.Uint16(head[6:])) - 44, nil
}
