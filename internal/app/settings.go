package app

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/sethvargo/go-envconfig"
)

// Settings returns the name of every variable that configures the functions, in
// order.
func Settings() (names []string) {
	for f := range reflect.TypeFor[Config]().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("env"), ",")
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// keysTwice reports the keys that come twice in a setting that is a map. The last of them
// would win, and a slip as settings are merged would move one tenant's requests to another.
func keysTwice(lookup envconfig.Lookuper) error {
	var errs []error
	for f := range reflect.TypeFor[Config]().Fields() {
		if f.Type.Kind() != reflect.Map {
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("env"), ",")
		text, _ := lookup.Lookup(name)
		times := map[string]int{}
		for entry := range strings.SplitSeq(text, ",") {
			key, _, _ := strings.Cut(entry, ":")
			key = strings.TrimSpace(key)
			if times[key]++; times[key] == 2 {
				errs = append(errs, fmt.Errorf("%s names %q twice; name it once", name, key))
			}
		}
	}
	return errors.Join(errs...)
}

// CheckSettings validates settings as [LoadConfig] does, and refuses unknown
// names, which a function ignores silently. It reports everything at once.
func CheckSettings(ctx context.Context, settings map[string]string) error {
	known := Settings()
	var errs []error
	for name := range settings {
		if !slices.Contains(known, name) {
			errs = append(errs, fmt.Errorf("%s is not a setting; the settings are %s", name, strings.Join(known, ", ")))
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	_, err := LoadConfig(ctx, envconfig.MapLookuper(settings))
	return errors.Join(append(errs, err)...)
}
