# before
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        return x.sin()


model, inputs = Model(), (torch.randn(3, 4),)
program = torch.export.export(model, inputs)
torch.export.save(program, "model.pt2")
# after
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        return x.sin()


model, inputs = Model(), (torch.randn(3, 4),)
program = torch.export.export(model, inputs)
torch.export.save(program.run_decompositions({}), "model.pt2")
