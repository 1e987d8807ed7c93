package message

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"google.golang.org/protobuf/reflect/protoreflect"

	"example.com/berth/internal/spelling"
)

// TestWordsOfUsers holds what is proposed for each word of testdata/words.txt: what users
// call accelerators, strategies, fields and options. A line is a kind, a word, and after
// "=" the names, with "!" before one that is certain.
func TestWordsOfUsers(t *testing.T) {
	const path = "testdata/words.txt"
	enum := func(eds ...protoreflect.EnumDescriptor) (names []string) {
		for _, ed := range eds {
			for i := 1; i < ed.Values().Len(); i++ {
				names = append(names, string(ed.Values().Get(i).Name()))
			}
		}
		return names
	}
	var fields []string
	for _, m := range []protoreflect.ProtoMessage{&aiplatformpb.MachineSpec{}, &aiplatformpb.WorkerPoolSpec{}, &aiplatformpb.CustomJobSpec{}, &aiplatformpb.ContainerSpec{},
		&aiplatformpb.PythonPackageSpec{}, &aiplatformpb.DiskSpec{}, &aiplatformpb.Scheduling{}} {
		fds := m.ProtoReflect().Descriptor().Fields()
		for i := range fds.Len() {
			fields = append(fields, fds.Get(i).JSONName())
		}
	}
	kinds := map[string]struct {
		names []string
		words spelling.Vocabulary
	}{
		"accelerator": {enum(aiplatformpb.AcceleratorType(0).Descriptor()), enumWords},
		"strategy":    {enum(aiplatformpb.Scheduling_Strategy(0).Descriptor(), aiplatformpb.ReservationAffinity_Type(0).Descriptor()), enumWords},
		"field":       {fields, fieldWords},
		"option":      {[]string{"displayName", "dryRun", "labels", "maxWait", "onFull", "persistentResource", "priority", "requestId", "concurrencyKey", "concurrencyPolicy"}, optionWords},
	}
	kept, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var now strings.Builder
	for line := range strings.Lines(string(kept)) {
		said, _, _ := strings.Cut(strings.TrimSpace(line), " =")
		kind, word, _ := strings.Cut(said, " ")
		k, known := kinds[kind]
		if !known {
			t.Fatalf("what kind is %q?", line)
		}
		near, sure := spelling.Nearest(word, k.names, k.words)
		text := strings.Join(near, " ")
		if sure {
			text = "!" + text
		}
		fmt.Fprintln(&now, strings.TrimSpace(said+" = "+text))
	}
	if *update {
		if err := os.WriteFile(path, []byte(now.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	was, is := strings.Split(string(kept), "\n"), strings.Split(now.String(), "\n")
	for i := range is {
		if was[i] != is[i] {
			t.Errorf("%s, and it was %s", is[i], was[i])
		}
	}
}
