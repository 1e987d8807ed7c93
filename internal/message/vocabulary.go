package message

import "example.com/berth/internal/spelling"

// enumWords is what users call the values of enums, most of all accelerators.
// Sources of the aliases: machine and TPU pages of Google Cloud (v5e is the
// marketing name of v5 lite), nvidia-smi (A100-SXM4-40GB), Kubernetes labels of
// GKE (nvidia-h100-mega-80gb, tpu-v5-lite-podslice).
var enumWords = spelling.Vocabulary{
	Noise: []string{"nvidia", "tesla", "geforce", "gpu", "accelerator", "type", "google", "cloud", "tensor", "core", "hbm", "sxm", "sxm2", "sxm4", "sxm5", "pcie"},
	Alias: map[string]string{
		"v5e": "v5 litepod", "v5lite": "v5 litepod", "v5 lite": "v5 litepod", "v5 lite pod": "v5 litepod", "v5litepod": "v5 litepod",
		"v5 lite podslice": "v5 litepod", "ct5lp": "tpu v5 litepod", "ct5l": "tpu v5 litepod", "v4pod": "v4 pod", "v4 podslice": "v4 pod", "ct4p": "tpu v4 pod",
		"v2pod": "v2", "v3pod": "v3", "a100 40gb": "a100", "a100 40g": "a100", "a100 40": "a100", "h100 mega": "h100 mega 80gb", "h100mega": "h100 mega 80gb",
		"rtx6000": "rtx pro 6000", "rtxpro6000": "rtx pro 6000", "pro6000": "rtx pro 6000", "blackwell 6000": "rtx pro 6000",
		"flexible": "flex", "dws": "flex start", "preemptible": "spot", "regular": "standard", "any": "any reservation", "specific": "specific reservation",
	},
}

// fieldWords is what users call the fields of a job.
var fieldWords = spelling.Vocabulary{
	Generic: []string{"spec", "type", "name", "config", "value", "id"},
	Alias: map[string]string{
		"number": "count", "num": "count", "gpu partition": "partition", "amount": "count", "quantity": "count", "gpu": "accelerator", "img": "image", "docker": "image",
		"url": "uri", "path": "uri", "cmd": "command", "entrypoint": "command", "argument": "arg", "environment": "env", "variable": "env", "env var": "env", "env variable": "env",
		"environment variable": "env", "envvar": "env", "instance type": "machine type", "instance": "replica", "node": "replica", "sa": "service account", "size": "size gb", "gb": "gb",
		"dir": "directory", "folder": "directory", "max runtime": "timeout", "max run time": "timeout", "max run duration": "timeout", "max running time": "timeout", "deadline": "timeout",
		"kms key": "kms key name", "pool": "pool spec", "python": "python package", "package": "package uri",
	},
}

// optionWords is what users call the options of a request.
var optionWords = spelling.Vocabulary{
	Generic: []string{"id", "name"},
	Alias: map[string]string{
		"idempotency key": "request id", "request key": "request id", "prio": "priority", "pool": "persistent resource", "cluster": "persistent resource",
		"max wait time": "max wait", "wait": "max wait", "timeout": "max wait", "title": "display name", "tag": "label", "if full": "on full", "when full": "on full",
	},
}
