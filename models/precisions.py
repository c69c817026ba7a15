#!/usr/bin/python3
"""Write a model file again with other precisions: those it may run in, or its matrices rounded.

Known answers, hyper-parameters and weights stay; latentd checks the known answers in every listed
precision, within the tolerance of each, when it loads the file.
"""

from latent_models.common import model_file, precision
from latent_models.common.files import output_name
from latent_models.common.refusal import Parser, Refusal, run_command


def main():
    parser = Parser(__doc__)
    parser.add_argument("input", metavar="IN.safetensors", help="a model file of latentd")
    parser.add_argument("output", type=output_name, metavar="OUT.safetensors")
    precision.add_options(parser)
    args = parser.parse_args()
    model = model_file.read_model(args.input)
    if "f32" not in model.config["precisions"] and args.quantize is None:
        raise Refusal(f"{args.input}: its matrices are rounded already "
                      f"({', '.join(model.config['precisions'])}); start from the float32 file")
    precision.apply(model, args)
    model_file.write_model(args.output, model)
    print(f"{args.output}: {model.config['arch']}, precisions "
          f"{', '.join(model.config['precisions'])}")


if __name__ == "__main__":
    run_command(main)
