package main

import (
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/capacity"
)

// Each price that is built in says where it is from, of when and for which region.
func TestListPricesHaveSources(t *testing.T) {
	all, err := readPrices(strings.NewReader(listPrices))
	if err != nil || len(all) == 0 {
		t.Fatalf("%d prices, %v", len(all), err)
	}
	for name, p := range all {
		if _, err := time.Parse(time.DateOnly, p.Date); err != nil || p.USD <= 0 || p.Region != "us-central1" || !strings.HasPrefix(p.Source, "https://cloud.google.com/") {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

// The price of a machine is that of the whole machine, else that of its type and of all
// its accelerators. A part without a price leaves the whole without one.
func TestPriceOfAMachine(t *testing.T) {
	for _, test := range []struct {
		flags []string
		spec  capacity.Spec
		want  float64
		by    int // prices that it rests on; 0 for none known
	}{
		{[]string{"m=2"}, capacity.Spec{MachineType: "m"}, 2, 1},
		{[]string{"m=2"}, capacity.Spec{MachineType: "m", Accelerator: "A", AcceleratorCount: 1}, 0, 0},
		{[]string{"A=3"}, capacity.Spec{MachineType: "m", Accelerator: "A", AcceleratorCount: 1}, 0, 0},
		{[]string{"A=3"}, capacity.Spec{MachineType: "m"}, 0, 0},
		{[]string{"m=2", "A=3"}, capacity.Spec{MachineType: "m", Accelerator: "A", AcceleratorCount: 4}, 14, 2},
		{[]string{"m=2", "A=3", "m+A=1.23"}, capacity.Spec{MachineType: "m", Accelerator: "A", AcceleratorCount: 1}, 1.23, 1},
		{[]string{"m+A:1=1.23"}, capacity.Spec{MachineType: "m", Accelerator: "A", AcceleratorCount: 1}, 1.23, 1},
		{[]string{"m+A=1.23"}, capacity.Spec{MachineType: "m", Accelerator: "A", AcceleratorCount: 2}, 0, 0},
		{[]string{"m+A:2=7", "m=2", "A=3"}, capacity.Spec{MachineType: "m", Accelerator: "A", AcceleratorCount: 2}, 7, 1},
		{[]string{"m=1", "m=0"}, capacity.Spec{MachineType: "m"}, 0, 1},
	} {
		all, err := pricesOf("", test.flags)
		if err != nil {
			t.Fatal(err)
		}
		usd, by, known := all.of(test.spec.Normal())
		if usd != test.want || len(by) != test.by || known != (test.by > 0) {
			t.Errorf("%v: %s costs %g by %v, known: %t; want %g", test.flags, test.spec.Normal(), usd, by, known, test.want)
		}
	}
}

func TestBadPrices(t *testing.T) {
	const head = "name,usd,region,date,source\n"
	for text, want := range map[string]string{
		"":                                "it is empty: want the columns name,usd,region,date,source",
		"name,eur,region,date,source\n":   "line 1: want the columns name,usd,region,date,source",
		head + "m,1\n":                    "record on line 2: wrong number of fields",
		head + "m,,,,\n":                  `line 2: usd is ""; want a number that is not negative`,
		head + "m,NaN,,,\n":               `line 2: usd is "NaN"; want a number that is not negative`,
		head + "m,1,,31.1.2026,\n":        `line 2: date is "31.1.2026"; want a day such as 2026-01-31`,
		head + "m,1,,,\nm+A,1,,,\nm,2,,,": `line 4: name is "m"; want one that no other line has`,
		head + ",1,,,\n":                  `line 2: name is ""; want one that no other line has`,
	} {
		if _, err := readPrices(strings.NewReader(text)); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
