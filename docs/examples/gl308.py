# before
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        torch.ops.aten._print("step")
        return x + 1


model, inputs = Model(), (torch.randn(3, 4),)
program = torch.export.export(model, inputs).run_decompositions()
torch.export.save(program, "model.pt2")
# after
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        return x + 1


model, inputs = Model(), (torch.randn(3, 4),)
program = torch.export.export(model, inputs).run_decompositions()
torch.export.save(program, "model.pt2")
