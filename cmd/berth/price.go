package main

import (
	_ "embed"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"example.com/berth/internal/capacity"
)

// listPrices are the prices that are known without a flag: list prices of custom
// training, by which persistent resources are billed, without disks and discounts. Only
// what could be traced to Google's price page is there, with the day on which it was read.
//
//go:embed prices.csv
var listPrices string

// A price is what one hour of a machine or of one accelerator costs, in USD.
type price struct {
	Name   string  `json:"name"`
	USD    float64 `json:"usd"`
	Region string  `json:"region,omitempty"`
	Date   string  `json:"date,omitempty"` // on which the source said so
	Source string  `json:"source"`
}

// prices are by name: a machine type, an accelerator, or a whole machine
// (g2-standard-8+NVIDIA_L4, a2-highgpu-2g+NVIDIA_TESLA_A100:2).
type prices map[string]price

// pricesOf are the list prices, those of a file in their place, and before both those of
// the command line.
func pricesOf(file string, flags []string) (prices, error) {
	all, err := readPrices(strings.NewReader(listPrices))
	if err != nil {
		return nil, fmt.Errorf("the price table of this tool: %w", err)
	}
	if file != "" {
		f, err := os.Open(file)
		if err != nil {
			return nil, usage("open the prices: %w", err)
		}
		defer f.Close() //nolint:errcheck // only read
		more, err := readPrices(f)
		if err != nil {
			return nil, usage("--prices %s: %w", file, err)
		}
		for name, p := range more {
			all[name] = p
		}
	}
	for _, flag := range flags {
		name, text, ok := strings.Cut(flag, "=")
		usd, err := dollars(text)
		if !ok || err != nil {
			return nil, usage("--price %s: want MACHINE=USD or MACHINE+ACCELERATOR:COUNT=USD, for one hour, such as g2-standard-8+NVIDIA_L4=1.23", flag)
		}
		name = nameOfPrice(name)
		all[name] = price{Name: name, USD: usd, Source: "--price"}
	}
	return all, nil
}

// nameOfPrice leaves out a count of one.
func nameOfPrice(name string) string { return strings.TrimSuffix(strings.TrimSpace(name), ":1") }

func dollars(text string) (float64, error) {
	usd, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err == nil && (usd < 0 || math.IsInf(usd, 0) || math.IsNaN(usd)) {
		err = errors.New("want a number that is not negative")
	}
	return usd, err
}

var priceColumns = []string{"name", "usd", "region", "date", "source"}

// readPrices reads a table with the columns name, usd, region, date and source, of which
// the last three may be empty.
func readPrices(from io.Reader) (prices, error) {
	r := csv.NewReader(from)
	r.FieldsPerRecord = len(priceColumns)
	all := prices{}
	for first := true; ; first = false {
		row, err := r.Read()
		switch {
		case errors.Is(err, io.EOF) && first:
			return nil, fmt.Errorf("it is empty: want the columns %s", strings.Join(priceColumns, ","))
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, err //nolint:wrapcheck // it names the line
		case first:
			if strings.Join(row, ",") != strings.Join(priceColumns, ",") {
				return nil, fmt.Errorf("line 1: want the columns %s", strings.Join(priceColumns, ","))
			}
			continue
		}
		line, _ := r.FieldPos(0)
		usd, err := dollars(row[1])
		if err != nil {
			return nil, fmt.Errorf("line %d: usd is %q; want a number that is not negative", line, row[1])
		}
		if _, err := time.Parse(time.DateOnly, row[3]); row[3] != "" && err != nil {
			return nil, fmt.Errorf("line %d: date is %q; want a day such as 2026-01-31", line, row[3])
		}
		name := nameOfPrice(row[0])
		if _, twice := all[name]; twice || name == "" {
			return nil, fmt.Errorf("line %d: name is %q; want one that no other line has", line, row[0])
		}
		all[name] = price{name, usd, row[2], row[3], row[4]}
	}
}

// of returns what one hour of a machine of a shape costs, and the prices that say so:
// that of the whole machine, else that of its type with those of its accelerators.
func (p prices) of(shape capacity.Shape) (usd float64, by []price, known bool) {
	s := shape.Spec()
	if whole, ok := p[wholeMachine(s)]; ok {
		return whole.USD, []price{whole}, true
	}
	machine, ok := p[s.MachineType]
	accelerator, has := p[s.Accelerator]
	if !ok || s.Accelerator == "" || !has {
		return 0, nil, false
	}
	return machine.USD + float64(s.AcceleratorCount)*accelerator.USD, []price{machine, accelerator}, true
}

// wholeMachine is the name of the price of a machine with all its accelerators.
func wholeMachine(s capacity.Spec) string {
	if s.Accelerator == "" {
		return s.MachineType
	}
	return nameOfPrice(fmt.Sprintf("%s+%s:%d", s.MachineType, s.Accelerator, s.AcceleratorCount))
}
